/** Memory tables that are invalid, and memory that goes away: T12 and T13 of the interop vectors. */
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { native } from '../../src/native.js';
import { Ask } from '../support/front-end-messages.js';
import { join, u32, u64 } from './support/bytes.js';
import { type MemoryRegion, regionBytes } from './support/ram.js';
import { onVivid, rig } from './support/rig.js';
import { isSignalled } from './support/ring.js';
import { StrangeDescriptors } from './support/strange-descriptors.js';
import { Nr } from './support/v4l2.js';
import { Vmm } from './support/vmm.js';

const MIB = 0x10_0000;
const G_FMT = u32(1, ...Array(51).fill(0));

onVivid('memory', () => {
  const region = (guest: number, length: number, file = 0): MemoryRegion => ({
    guest,
    length,
    user: guest + 0x7000_0000_0000,
    file,
  });
  const tableOf = (...regions: (MemoryRegion | Buffer)[]) =>
    join(
      u32(regions.length, 0),
      ...regions.map((each) => (Buffer.isBuffer(each) ? each : regionBytes(each))),
    );
  const ownFile = (length: number) => {
    const fd = native.memoryFile('test', length);
    rig.own({ close: () => closeSync(fd) });
    return fd;
  };

  it('tables that cannot be are refused, and the one before stays', async () => {
    const guest = await rig.guest();
    const session = await guest.open();
    const fd = ownFile(MIB);
    const wrong: Record<string, Buffer> = {
      'regions that overlap': tableOf(region(MIB, MIB), region(2 * MIB - 4096, 4096)),
      'the same region twice': tableOf(region(MIB, 4096), region(MIB, 4096)),
      'a region of nothing': tableOf(region(MIB, 0)),
      'a file that is too short': tableOf(region(MIB, MIB + 4096)),
      'a file that is too short by its offset': tableOf(region(MIB, MIB, 4096)),
      'an offset in the middle of a page': tableOf(region(MIB, 4096, 100)),
      'an offset beyond the file': tableOf(region(MIB, 4096, 1 << 30)),
      'a guest address that wraps': tableOf(u64((1n << 64n) - 4096n, 8192, 0, 0)),
      'a user address that wraps': tableOf(u64(MIB, 8192, (1n << 64n) - 4096n, 0)),
      'a size of 2^63': tableOf(u64(MIB, 1n << 63n, 0, 0)),
      'a size of 2^64 - 1': tableOf(u64(0, (1n << 64n) - 1n, 0, 0)),
      'an offset of 2^63': tableOf(u64(MIB, 4096, 0, 1n << 63n)),
      'a good region and a bad one': tableOf(region(MIB, 4096), region(8 * MIB, 64 * MIB)),
    };
    for (const [what, table] of Object.entries(wrong)) {
      const count = table.readUInt32LE(0);
      assert.notEqual(
        await guest.vmm.acknowledged(Ask.SET_MEM_TABLE, table, Array(count).fill(fd)),
        0n,
        what,
      );
      assert.equal((await guest.ioctl(session, Nr.G_FMT, G_FMT)).status, 0, `after ${what}`);
    }
  });

  it('descriptors that are no memory are never mapped', async () => {
    const vmm = rig.own(new Vmm(rig.socket()));
    await vmm.negotiate();
    const before = rig.daemon.holdings().mappings;
    const strange = rig.own(new StrangeDescriptors());
    for (const { name, fd } of strange.all) {
      if (name === 'a memory file') continue;
      await vmm.acknowledged(Ask.SET_MEM_TABLE, tableOf(region(MIB, 4096)), [fd]);
      await vmm.acknowledged(Ask.ADD_MEM_REG, join(u64(0), regionBytes(region(64 * MIB, 4096))), [fd]);
      assert.deepEqual(rig.daemon.holdings().mappings, before, name);
    }
    const readOnly = openSync(`/proc/self/fd/${ownFile(MIB)}`, 'r');
    rig.own({ close: () => closeSync(readOnly) });
    assert.notEqual(await vmm.acknowledged(Ask.SET_MEM_TABLE, tableOf(region(MIB, 4096)), [readOnly]), 0n);
    assert.deepEqual(rig.daemon.holdings().mappings, before);
  });

  it('slots: what is added twice, or taken away and never was, is refused; 512 are the most', async () => {
    const vmm = rig.own(new Vmm(rig.socket()));
    await vmm.negotiate();
    const fd = ownFile(MIB);
    const add = (each: MemoryRegion) =>
      vmm.acknowledged(Ask.ADD_MEM_REG, join(u64(0), regionBytes(each)), [fd]);
    const remove = (each: MemoryRegion, descriptors: number[] = []) =>
      vmm.acknowledged(Ask.REM_MEM_REG, join(u64(0), regionBytes(each)), descriptors);
    assert.equal((await vmm.ask(Ask.GET_MAX_MEM_SLOTS)).readBigUInt64LE(0), 512n);
    const slot = (n: number) => region(MIB + 4096 * n, 4096, 4096 * (n % 256));
    for (let n = 0; n < 512; n++)
      if (n % 32 === 31) assert.equal(await add(slot(n)), 0n, `slot ${n}`);
      else vmm.tell(Ask.ADD_MEM_REG, join(u64(0), regionBytes(slot(n))), [fd]);
    assert.notEqual(await add(slot(512)), 0n, 'one too many');
    assert.equal(await remove(slot(7), [fd]), 0n, 'with a descriptor that nobody needs');
    assert.notEqual(await remove(slot(7)), 0n, 'gone already');
    assert.notEqual(await remove({ ...slot(8), length: 8192 }), 0n, 'another size');
    assert.notEqual(await remove({ ...slot(8), user: 0 }), 0n, 'another user address');
    assert.notEqual(await add(slot(8)), 0n, 'there already');
    assert.equal(await add(slot(7)), 0n);
    assert.equal(await vmm.acknowledged(Ask.SET_MEM_TABLE, tableOf(), []), 0n, 'a table of nothing');
  });

  for (const [what, end] of [
    [
      'its region is removed',
      (vmm: Vmm) => vmm.acknowledged(Ask.REM_MEM_REG, join(u64(0), regionBytes(vmm.ram.regions[0]!))),
    ],
    ['a table without it comes', (vmm: Vmm) => vmm.acknowledged(Ask.SET_MEM_TABLE, tableOf(), [])],
    [
      'a table comes that has it elsewhere',
      (vmm: Vmm) => {
        const moved = { ...vmm.ram.regions[0]!, user: 0x1000_0000 };
        return vmm.acknowledged(Ask.SET_MEM_TABLE, tableOf(moved), [vmm.ram.fd]);
      },
    ],
  ] as const)
    it(`a ring stops and says so when ${what}; the next table starts it again`, async () => {
      const guest = await rig.guest();
      await guest.open();
      const { vmm } = guest;
      assert.equal(await end(vmm), 0n);
      for (const ring of vmm.rings)
        await guest.until(() => isSignalled(ring.errorFd), 'the error descriptor');
      guest.commandq.kick();
      assert.equal((await vmm.config()).length, 40);
      for (const index of [0, 1]) await vmm.base(index);
      for (const ring of vmm.rings) ring.clear();
      assert.equal(await vmm.setMemory(), 0n);
      guest.postEvents(16);
      for (const index of [0, 1]) await vmm.prepare(index);
      for (const index of [0, 1]) assert.equal(await vmm.enable(index), 0n);
      const session = await guest.open();
      assert.equal((await guest.ioctl(session, Nr.G_FMT, G_FMT)).status, 0);
    });

  it('the same table again and again, with commands under way, changes nothing', async () => {
    const guest = await rig.guest();
    const session = await guest.open();
    for (let round = 0; round < 30; round++) {
      const { head } = guest.lay(join(u32(3, 0, session, Nr.G_FMT), G_FMT), 216);
      guest.commandq.offer(head);
      guest.commandq.kick();
      assert.equal(await guest.vmm.setMemory(), 0n);
      assert.equal(await guest.answered(head), 216);
    }
  });
});
