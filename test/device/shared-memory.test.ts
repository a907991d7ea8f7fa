/**
 * SHMEM_MAP when the VMM answers never, late, with a refusal, or with something malformed. T6 of the interop vectors.
 */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { native } from '../../src/native.js';
import { Ask } from '../support/front-end-messages.js';
import { timed } from '../support/until.js';
import { filled, join, u32, u64, zeros } from './support/bytes.js';
import type { Guest } from './support/guest.js';
import { onVivid, rig } from './support/rig.js';
import { ECONNRESET, EINTR, EINVAL, EIO, ETIMEDOUT, Nr, requestBuffers, v4l2Buffer } from './support/v4l2.js';
import { CROSVM, QEMU } from './support/vmm.js';
import { answer, type Window } from './support/window.js';
import { message, REPLY } from './support/wire.js';

const SHMEM_MAP = 9;
const SHMEM_UNMAP = 10;
const G_FMT = u32(1, ...Array(51).fill(0));
/** Milliseconds. No answer on the control socket may wait: this is far below the 4 s of the parked command. */
const AT_ONCE = 2000;

onVivid('shared memory', () => {
  let guest: Guest;
  let session: number;
  let mmapOffsets: number[];

  const boot = async (protocol: bigint) => {
    guest = await rig.guest({ protocol });
    session = await guest.open();
    assert.equal((await guest.ioctl(session, Nr.REQBUFS, requestBuffers(3))).status, 0);
    mmapOffsets = [];
    for (let index = 0; index < 3; index++) {
      const { payload } = await guest.ioctl(session, Nr.QUERYBUF, v4l2Buffer({ index }));
      mmapOffsets.push(payload.readUInt32LE(64));
    }
  };
  const window = (): Window => guest.vmm.window!;
  /** Sends an MMAP command whose SHMEM_MAP the VMM does not answer. */
  const park = async (mmapOffset: number) => {
    window().verdict = () => null;
    const held = window().held.length;
    const laid = guest.lay(u32(4, 0, session, 1, mmapOffset), 24);
    guest.commandq.offer(laid.head);
    guest.commandq.kick();
    await guest.until(() => window().held.length === held + 1, 'SHMEM_MAP');
    return laid;
  };
  const consent = () => {
    window().verdict = ({ request }) => answer(request);
  };
  const mapsAgain = async (mmapOffset: number) => {
    consent();
    const { status, length } = await guest.mmap(session, mmapOffset);
    assert.deepEqual([status, length], [0, 24]);
  };

  it('an answer that never comes: MMAP ends at the deadline, and nothing else waits', async () => {
    await boot(QEMU);
    const started = performance.now();
    const { head, room } = await park(mmapOffsets[0]!);
    for (let round = 0; round < 5; round++) {
      const config = await timed(() => guest.vmm.config());
      const table = await timed(() => guest.vmm.setMemory());
      assert.ok(config.ms < AT_ONCE && table.ms < AT_ONCE, `${config.ms} and ${table.ms} ms`);
      const other = await guest.open();
      assert.equal((await guest.ioctl(other, Nr.G_FMT, G_FMT)).status, 0, 'another session');
      await guest.shut(other);
    }
    const length = await guest.answered(head, 8000);
    const waited = performance.now() - started;
    assert.ok(waited > 3500 && waited < 5000, `${waited} ms: Linux gives up after 5000`);
    assert.deepEqual(guest.reply(room, 24, length).bytes, u32(ETIMEDOUT, 0));
    guest.vmm.ram.write(room, filled(24, 0x99));
    window().send(answer(SHMEM_MAP));
    assert.equal((await guest.ioctl(session, Nr.G_FMT, G_FMT)).status, 0);
    assert.ok(guest.vmm.ram.read(room, 24).equals(filled(24, 0x99)), 'nothing is written afterwards');
    await mapsAgain(mmapOffsets[1]!);
  });

  for (const [mode, protocol] of [
    ['arena', QEMU],
    ['direct', CROSVM],
  ] as const) {
    it(`${mode}: a refusal is EIO at once, and the next one may be granted`, async () => {
      await boot(protocol);
      for (const refusal of [1n, (1n << 64n) - 1n, 1n << 32n]) {
        window().verdict = ({ request }) => answer(request, refusal);
        const { value, ms } = await timed(() => guest.mmap(session, mmapOffsets[0]!));
        assert.deepEqual(value.bytes, u32(EIO, 0));
        assert.ok(ms < AT_ONCE, `${ms} ms`);
      }
      await mapsAgain(mmapOffsets[0]!);
    });

    /** Answers that are no answer to SHMEM_MAP. They end the back-end channel, but not the connection. */
    const nonsense: Record<string, () => Buffer> = {
      'of no bytes': () => message(SHMEM_MAP, zeros(0), REPLY),
      'of 4 bytes': () => message(SHMEM_MAP, zeros(4), REPLY),
      'of 16 bytes': () => message(SHMEM_MAP, zeros(16), REPLY),
      'to SHMEM_UNMAP': () => message(SHMEM_UNMAP, zeros(8), REPLY),
      'to something unknown': () => message(77, zeros(8), REPLY),
      'that is a request': () => message(SHMEM_MAP, zeros(8)),
      'of another version': () => message(SHMEM_MAP, zeros(8), 6),
      'with reserved flags': () => message(SHMEM_MAP, zeros(8), 0x15),
      'of 4 GiB': () => message(SHMEM_MAP, zeros(8), REPLY, 0xffff_ffff),
      'that is garbage': () => filled(64, 0xa7),
    };

    it(`${mode}: nonsense for an answer ends the channel: ECONNRESET, and a new one serves`, async () => {
      await boot(protocol);
      for (const [what, bytes] of Object.entries(nonsense)) {
        window().verdict = bytes;
        const { value, ms } = await timed(() => guest.mmap(session, mmapOffsets[0]!));
        assert.deepEqual(value.bytes, u32(ECONNRESET, 0), `an answer ${what}`);
        assert.ok(ms < AT_ONCE, `an answer ${what}: ${ms} ms`);
        await guest.until(() => window().closed, 'the channel to end');
        assert.deepEqual((await guest.mmap(session, mmapOffsets[1]!)).bytes, u32(ECONNRESET, 0));
        assert.equal((await guest.vmm.config()).length, 40);
        assert.equal(await guest.vmm.openChannel(), 0n);
      }
      await mapsAgain(mmapOffsets[1]!);
    });

    it(`${mode}: an answer with a descriptor, and one that nobody asked for`, async () => {
      await boot(protocol);
      const fd = native.eventFd();
      rig.own({ close: () => closeSync(fd) });
      const { head, room } = await park(mmapOffsets[0]!);
      window().send(answer(SHMEM_MAP), [fd]);
      assert.deepEqual(guest.reply(room, 24, await guest.answered(head)).bytes, u32(ECONNRESET, 0));
      assert.equal(await guest.vmm.openChannel(), 0n);
      window().send(answer(SHMEM_MAP));
      await guest.until(() => window().closed, 'the channel to end');
      assert.equal(await guest.vmm.openChannel(), 0n);
      await mapsAgain(mmapOffsets[0]!);
    });

    it(`${mode}: a channel that the VMM closes answers everything that waits`, async () => {
      await boot(protocol);
      const { head, room } = await park(mmapOffsets[0]!);
      window().close();
      assert.deepEqual(guest.reply(room, 24, await guest.answered(head)).bytes, u32(ECONNRESET, 0));
      assert.equal((await guest.ioctl(session, Nr.G_FMT, G_FMT)).status, 0);
    });

    it(`${mode}: a ring that is stopped meanwhile is stopped at once: EINTR`, async () => {
      await boot(protocol);
      const { head, room } = await park(mmapOffsets[0]!);
      const { value, ms } = await timed(() => guest.vmm.base(0));
      assert.ok(ms < AT_ONCE, `${ms} ms`);
      assert.deepEqual(guest.reply(room, 24, await guest.answered(head)).bytes, u32(EINTR, 0));
      guest.vmm.ram.write(room, filled(24, 0x99));
      window().send(answer(SHMEM_MAP));
      await guest.vmm.prepare(0, value);
      await guest.vmm.enable(0);
      assert.equal(
        (await guest.ioctl(session, Nr.G_FMT, G_FMT)).status,
        0,
        'a pause: the session is still there',
      );
      assert.ok(guest.vmm.ram.read(room, 24).equals(filled(24, 0x99)));
    });

    it(`${mode}: what was mapped for us comes back as guest memory, and is never mapped`, async () => {
      await boot(protocol);
      await mapsAgain(mmapOffsets[0]!);
      const before = rig.daemon.holdings().mappings;
      const { fd, length, offset } = window().mappings[0]!;
      const echo = u64(0x80_0000_0000 + offset, length, 0x7d00_0000_0000, 0);
      assert.equal(await guest.vmm.acknowledged(Ask.ADD_MEM_REG, join(u64(0), echo), [fd]), 0n);
      assert.deepEqual(rig.daemon.holdings().mappings, before);
      // A chain that points into the mapped region harms only the guest.
      const head = guest.commandq.chain([{ address: 0x80_0000_0000, length: 16 }]);
      assert.equal(await guest.offered(head), 0);
      assert.equal((await guest.ioctl(session, Nr.G_FMT, G_FMT)).status, 0);
    });
  }

  it('direct: buffers have places of their own, and a range that was not given back is not used', async () => {
    await boot(CROSVM);
    const addresses: number[] = [];
    for (const mmapOffset of mmapOffsets) {
      const { status, payload } = await guest.mmap(session, mmapOffset);
      assert.equal(status, 0);
      addresses.push(Number(payload.readBigUInt64LE(0)));
    }
    assert.equal(new Set(addresses).size, 3);
    window().verdict = () => null;
    assert.equal((await guest.ioctl(session, Nr.REQBUFS, requestBuffers(0))).status, 0);
    for (const address of addresses) assert.equal((await guest.munmap(address)).status, 0);
    await guest.until(() => window().held.length === 3, 'three SHMEM_UNMAPs');
    assert.equal((await guest.ioctl(session, Nr.REQBUFS, requestBuffers(1))).status, 0);
    const { payload } = await guest.ioctl(session, Nr.QUERYBUF, v4l2Buffer({}));
    const laid = await park(payload.readUInt32LE(64));
    const [place] = window().held.slice(-1);
    assert.equal(place!.request, SHMEM_MAP);
    assert.ok(!addresses.includes(Number(place!.body.readBigUInt64LE(16))), 'the VMM has not let go of it');
    // Answers come in the order of the requests.
    for (let n = 0; n < 3; n++) window().send(answer(SHMEM_UNMAP));
    window().send(answer(SHMEM_MAP));
    assert.equal(guest.reply(laid.room, 24, await guest.answered(laid.head)).status, 0);
  });

  it('a VMM without shared memory: MMAP is EINVAL, buffers are not', async () => {
    await boot(QEMU & ~(1n << 22n));
    for (const mmapOffset of mmapOffsets)
      assert.deepEqual((await guest.mmap(session, mmapOffset)).bytes, u32(EINVAL, 0));
  });
});
