/** Well-formed and malformed descriptor chains: VIRTIO 1.4, 2.7. */
import assert from 'node:assert/strict';
import { Ask } from '../support/front-end-messages.js';
import { filled, join, u16, u32, zeros } from './support/bytes.js';
import type { Guest, Reply } from './support/guest.js';
import { malformed, READABLE, WRITABLE } from './support/malformed-chains.js';
import { regionBytes } from './support/ram.js';
import { onVivid, rig } from './support/rig.js';
import { isSignalled, type Piece, WRITE } from './support/ring.js';
import { Nr } from './support/v4l2.js';
import { FEATURES } from './support/vmm.js';

/** 16 + 64 readable bytes, 8 + 64 writable bytes. */
const enumerateFormats = (session: number) => join(u32(3, 0, session, Nr.ENUM_FMT), u32(0, 1), zeros(56));

onVivid('chains', () => {
  let guest: Guest;
  let session: number;
  let whole: Reply;

  beforeEach(async () => {
    guest = await rig.guest();
    session = await guest.open();
    whole = await guest.command(enumerateFormats(session), WRITABLE);
    assert.deepEqual([whole.status, whole.length], [0, WRITABLE]);
  });

  const same = (reply: Reply, what: string) => {
    assert.equal(reply.length, WRITABLE, what);
    assert.ok(reply.bytes.equals(whole.bytes), what);
  };
  const goesOn = async () =>
    same(await guest.command(enumerateFormats(session), WRITABLE), 'the next command');

  for (const indirect of [false, true])
    it(`are byte streams, cut at every border${indirect ? ' (indirect)' : ''}`, async () => {
      const query = enumerateFormats(session);
      for (let at = 1; at < READABLE; at++) {
        const writable = [Math.min(at, WRITABLE - 1)];
        same(await guest.command(query, WRITABLE, { readable: [at], writable, indirect }), `cut at ${at}`);
      }
      const single = { readable: Array(READABLE).fill(1), writable: Array(WRITABLE).fill(1), indirect };
      same(await guest.command(query, WRITABLE, single), 'a descriptor for each byte');
    });

  it('may have the payload of a WR ioctl in the same memory both ways', async () => {
    const payload = guest.place(join(u32(0, 1), zeros(56)));
    const command = { address: guest.place(u32(3, 0, session, Nr.ENUM_FMT)), length: 16 };
    const response = guest.place(zeros(8));
    const head = guest.commandq.chain([
      command,
      { address: payload, length: 64 },
      { address: response, length: 8, flags: WRITE },
      { address: payload, length: 64, flags: WRITE },
    ]);
    assert.equal(await guest.offered(head), WRITABLE);
    assert.ok(guest.vmm.ram.read(payload, 64).equals(whole.payload));
    await goesOn();
  });

  it('may be written over themselves: the request was copied first', async () => {
    const memory = guest.place(join(enumerateFormats(session), zeros(16)));
    const head = guest.commandq.chain([
      { address: memory, length: READABLE },
      { address: memory, length: WRITABLE, flags: WRITE },
    ]);
    assert.equal(await guest.offered(head), WRITABLE);
    assert.ok(guest.vmm.ram.read(memory, WRITABLE).equals(whole.bytes));
    await goesOn();
  });

  it('may cross regions of guest memory that touch', async () => {
    const border = 0x4020_0000;
    guest.vmm.ram.write(border - 40, enumerateFormats(session).subarray(0, 40));
    guest.vmm.ram.write(border, enumerateFormats(session).subarray(40));
    guest.vmm.ram.write(border + 0x1000 - 40, filled(WRITABLE, 0));
    const answer = border - 0x1000;
    const head = guest.commandq.chain([
      { address: border - 40, length: READABLE },
      { address: answer, length: WRITABLE, flags: WRITE },
    ]);
    assert.equal(await guest.offered(head), WRITABLE);
    assert.ok(guest.vmm.ram.read(answer, WRITABLE).equals(whole.bytes));
    const query = guest.place(enumerateFormats(session));
    const crossing = guest.commandq.chain([
      { address: query, length: READABLE },
      { address: border - 30, length: WRITABLE, flags: WRITE },
    ]);
    assert.equal(await guest.offered(crossing), WRITABLE);
    const seen = join(guest.vmm.ram.read(border - 30, 30), guest.vmm.ram.read(border, WRITABLE - 30));
    assert.ok(seen.equals(whole.bytes));
  });

  it('may have empty descriptors anywhere, whatever they point to', async () => {
    const empty = (flags = 0): Piece => ({ address: 0xdead_0000_0000, length: 0, flags });
    const room = guest.place(zeros(WRITABLE));
    const head = guest.commandq.chain([
      empty(),
      { address: guest.place(enumerateFormats(session)), length: READABLE },
      empty(),
      empty(WRITE),
      { address: room, length: WRITABLE, flags: WRITE },
      empty(WRITE),
    ]);
    assert.equal(await guest.offered(head), WRITABLE);
    await goesOn();
  });

  it('are answered in the ring itself if that is where their memory lies, and the ring goes on', async () => {
    // Unused slots of the descriptor table.
    const room = guest.commandq.places.descriptors + 16 * 200;
    const query = guest.place(enumerateFormats(session));
    const head = guest.commandq.chain([
      { address: query, length: READABLE },
      { address: room, length: WRITABLE, flags: WRITE },
    ]);
    assert.equal(await guest.offered(head), WRITABLE);
    assert.ok(guest.vmm.ram.read(room, WRITABLE).equals(whole.bytes));
    await goesOn();
  });

  it('that VIRTIO forbids come back empty, and nothing is written', async () => {
    for (const [what, build] of Object.entries(malformed)) {
      const query = { address: guest.place(enumerateFormats(session)), length: READABLE };
      const room = { address: guest.place(filled(WRITABLE, 0x33)), length: WRITABLE, flags: WRITE };
      assert.equal(await guest.offered(build(guest, query, room)), 0, what);
      assert.ok(guest.vmm.ram.read(room.address, WRITABLE).equals(filled(WRITABLE, 0x33)), what);
      await goesOn();
    }
  });

  it('a whole ring of malformed chains, and one good one at its end', async () => {
    const { head, room } = guest.lay(enumerateFormats(session), WRITABLE);
    guest.commandq.offer(...Array(255).fill(300), head);
    guest.commandq.kick();
    assert.equal(await guest.answered(head), WRITABLE);
    assert.ok(guest.vmm.ram.read(room, WRITABLE).equals(whole.bytes));
    assert.equal(guest.commandq.returned.filter((each) => each.length === 0).length, 255);
    guest.commandq.returned.length = 0;
    await goesOn();
  });

  it('one head offered many times is that many commands', async () => {
    const { head } = guest.lay(enumerateFormats(session), WRITABLE);
    guest.commandq.offer(...Array(100).fill(head));
    guest.commandq.kick();
    await guest.until(() => guest.commandq.returned.length === 100, 'all to come back');
    assert.deepEqual(guest.commandq.returned.splice(0), Array(100).fill({ head, length: WRITABLE }));
    await goesOn();
  });

  it('more commands at once than the device takes wait their turn', async () => {
    const sessions = [session, await guest.open()];
    const heads = Array.from({ length: 100 }, (_, n) => {
      const controls = join(u32(3, 0, sessions[n % 2]!, 27), u32(0x0098_0900, 0));
      return guest.lay(controls, 16).head;
    });
    guest.commandq.offer(...heads);
    guest.commandq.kick();
    await guest.until(() => guest.commandq.returned.length === 100, 'all to come back');
    const returned = guest.commandq.returned.splice(0);
    assert.deepEqual(
      returned.map(({ length }) => length),
      Array(100).fill(16),
    );
    const ofFirst = returned.map(({ head }) => head).filter((head) => heads.indexOf(head) % 2 === 0);
    assert.deepEqual(
      ofFirst,
      heads.filter((_, n) => n % 2 === 0),
      'in order within a session',
    );
    await goesOn();
  });

  for (const jump of [257, 1000, 0x8000, 0xffff])
    it(`an available index that jumps by ${jump} stops that ring alone, and tells`, async () => {
      const { vmm, commandq, eventq } = guest;
      commandq.publish((commandq.available + jump) & 0xffff);
      commandq.kick();
      await guest.until(() => isSignalled(commandq.errorFd), 'the error descriptor');
      assert.equal(isSignalled(eventq.errorFd), false);
      assert.equal((await vmm.config()).length, 40);
      // The driver resets the device and starts again.
      await vmm.base(0);
      commandq.clear();
      await vmm.prepare(0);
      assert.equal(await vmm.enable(0), 0n);
      session = await guest.open();
      await goesOn();
    });

  it('an indirect descriptor that was not negotiated comes back empty', async () => {
    guest.close();
    guest = await rig.guest({ features: FEATURES & ~(1n << 28n) });
    session = await guest.open();
    const query = { address: guest.place(enumerateFormats(session)), length: READABLE };
    const room = { address: guest.place(zeros(WRITABLE)), length: WRITABLE, flags: WRITE };
    assert.equal(await guest.offered(guest.commandq.chain([guest.table([query, room])])), 0);
    await goesOn();
  });

  it('chains of memory that is taken away while they wait are not written to', async () => {
    const { vmm } = guest;
    const room = 0x1_0000_1000;
    vmm.ram.write(room, filled(16, 0x44));
    const command = { address: guest.place(join(u32(3, 0, session, 27), u32(0x0098_0900, 0))), length: 24 };
    const head = guest.commandq.chain([command, { address: room, length: 16, flags: WRITE }]);
    guest.commandq.offer(head);
    const table = join(u32(2, 0), ...vmm.ram.regions.slice(0, 2).map(regionBytes));
    assert.equal(await vmm.acknowledged(Ask.SET_MEM_TABLE, table, [vmm.ram.fd, vmm.ram.fd]), 0n);
    guest.commandq.kick();
    assert.equal(await guest.answered(head), 0);
    assert.ok(vmm.ram.read(room, 16).equals(filled(16, 0x44)));
    await goesOn();
  });

  it('a used ring that the guest scribbles on harms nobody but the guest', async () => {
    const { commandq, vmm } = guest;
    vmm.ram.write(commandq.places.used, join(u16(0xffff, 0x1234), filled(256, 0xff)));
    vmm.ram.write(commandq.places.available, u16(0xffff));
    const { head } = guest.lay(enumerateFormats(session), WRITABLE);
    commandq.offer(head);
    commandq.kick();
    const used = () => vmm.ram.bytes.readUInt16LE(vmm.ram.at(commandq.places.used + 2));
    await guest.until(() => used() !== 0x1234, 'the device to go on with its own index');
    commandq.returned.length = 0;
    assert.equal((await vmm.config()).length, 40);
  });
});
