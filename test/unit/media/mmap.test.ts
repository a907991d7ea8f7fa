/** V4L2_MEMORY_MMAP: which fields cross between the guest's record and the host's, compared as bytes. */
import assert from 'node:assert/strict';
import type { BufferCall } from '../../../src/media/memory/memory-type.js';
import { mmap } from '../../../src/media/memory/mmap.js';
import { SharedMemory } from '../../../src/media/memory/shared-memory.js';
import { backings } from '../../../src/media/queues/backings.js';
import { BufferQueue } from '../../../src/media/queues/buffer-queue.js';
import { received as receivedIn } from '../../../src/media/queues/buffer-record.js';
import { type HostBuffer, VideoBuffer, VideoPlane } from '../../../src/media/queues/video-buffer.js';
import type { Session } from '../../../src/media/session.js';
import { MemoryFile } from '../../../src/virtio/memory-file.js';
import { Turn } from '../../../src/virtio/turn.js';
import { success } from '../support/success.js';
import { FakeTransport } from './fake-transport.js';
import { ff, GREEDY, planeRecord, record, TIMES } from './support/buffer-records.js';

const CAPTURE = 1;
const OUTPUT = 2;
const CAPTURE_MPLANE = 9;
const QBUF = 15;
const NOTHING = Buffer.alloc(0);
/** A session with the only members that the memory type uses. */
const sessionOf = (shared: SharedMemory) => ({ context: { shared, turn: new Turn() } }) as unknown as Session;

function call(
  queue: BufferQueue,
  vb: VideoBuffer,
  guest: Buffer,
  planes: Buffer,
  shared: SharedMemory,
): BufferCall {
  return {
    session: sessionOf(shared),
    queue,
    vb,
    guest: { record: guest, planes, rest: NOTHING },
    nr: QBUF,
    request: 0,
  };
}

async function attach(...given: Parameters<typeof call>): Promise<HostBuffer> {
  return success(await mmap.attach(call(...given))).host;
}

/** KEYFRAME PFRAME BFRAME TIMECODE M2M_HOLD LAST: 0x08 0x10 0x20 0x100 0x200 0x100000. NO_CACHE_* are for `direct` only. */
const GUEST_FLAGS = '38031000';

describe('memory type MMAP', () => {
  let shared: SharedMemory;

  beforeEach(() => {
    shared = new SharedMemory(new FakeTransport(), 'auto');
  });
  afterEach(() => shared.close());

  const held = (...lengths: number[]): VideoBuffer => {
    const planes = lengths.map((length, n) => {
      const slot = success(shared.allocate(length));
      return new VideoPlane(length, 0x0102_0000 + 0x1_0000 * n, { slot });
    });
    return new VideoBuffer(3, planes);
  };

  const restore = (buffer: VideoBuffer, host: HostBuffer, guest: Buffer, planes: Buffer) => {
    const queue = new BufferQueue(host.planes ? CAPTURE_MPLANE : CAPTURE, 'userptr');
    return mmap.restore(call(queue, buffer, guest, planes, shared), host);
  };
  const received = (buffer: VideoBuffer | undefined, host: HostBuffer) =>
    receivedIn(new BufferQueue(host.planes ? CAPTURE_MPLANE : CAPTURE, 'userptr'), buffer, host);

  it('what a guest gives to the host: listed flags and fields, nothing that is an address or a descriptor', async () => {
    const queue = new BufferQueue(CAPTURE, 'copy');
    const { buffer, planes, memory } = await attach(queue, held(0x1000), GREEDY, NOTHING, shared);
    const expected = record({
      index: '03000000',
      type: '01000000',
      bytesused: '44332211',
      flags: GUEST_FLAGS,
      field: '05000000',
      ...TIMES,
      sequence: '99999999',
      memory: '01000000',
      length: '00100000',
    });
    assert.equal(buffer.toString('hex'), expected.toString('hex'));
    assert.deepEqual([planes, memory], [undefined, undefined]);
  });

  it("on USERPTR the host's memory is the slot of the plane, whatever the guest says", async () => {
    const queue = new BufferQueue(CAPTURE, 'userptr');
    const buffer = held(0x1000);
    const host = await attach(queue, buffer, GREEDY, NOTHING, shared);
    assert.equal(host.buffer.subarray(60, 64).toString('hex'), '02000000');
    assert.equal(host.buffer.subarray(64, 72).toString('hex'), '00'.repeat(8));
    assert.deepEqual(
      host.memory!.map(({ offset, length }) => ({ offset, length })),
      [{ offset: buffer.planes[0]!.slot!.offset, length: 0x1000 }],
    );
    const hosts = (['userptr', 'copy', 'direct', 'unmapped'] as const).map((each) => backings[each].host);
    assert.deepEqual(hosts, [2, 1, 1, 1]);
  });

  it('planes: sizes of use are the guest’s, lengths are the host’s, and there are as many as the buffer has', async () => {
    const queue = new BufferQueue(CAPTURE_MPLANE, 'userptr');
    const buffer = held(0x2000, 0x1000);
    const greedy = planeRecord('44332211', ff(4), 'efcdab8967452301', '08000000', 'ff');
    for (const given of [2, 3, 8]) {
      const guest = Buffer.from(GREEDY);
      guest.writeUInt32LE(CAPTURE_MPLANE, 4);
      guest.writeUInt32LE(given, 72);
      const host = await attach(queue, buffer, guest, Buffer.concat(Array(given).fill(greedy)), shared);
      assert.equal(host.buffer.subarray(72, 76).toString('hex'), '02000000', 'length');
      assert.equal(
        host.planes!.toString('hex'),
        Buffer.concat([
          planeRecord('44332211', '00200000', '00'.repeat(8), '08000000'),
          planeRecord('44332211', '00100000', '00'.repeat(8), '08000000'),
        ]).toString('hex'),
      );
      assert.equal(host.memory!.length, 2);
    }
  });

  it("what the host answers: the guest's mmapOffset for the host's offset, no flag of the host, no descriptor", () => {
    const buffer = held(0x1000);
    const host = record({
      index: '03000000',
      type: '01000000',
      bytesused: '00100000',
      flags: ff(4),
      field: '01000000',
      ...TIMES,
      sequence: '07000000',
      memory: '02000000',
      m: '00800000aa7f0000',
      length: '00100000',
      reserved2: ff(4),
      requestFd: ff(4),
    });
    const [answer, ...more] = restore(buffer, { buffer: host }, GREEDY, NOTHING);
    const expected = record({
      index: '03000000',
      type: '01000000',
      bytesused: '00100000',
      // All but REQUEST_FD 0x800000, IN_REQUEST 0x80, MAPPED 0x1.
      flags: '7eff7fff',
      field: '01000000',
      ...TIMES,
      sequence: '07000000',
      memory: '01000000',
      m: '0000020100000000',
      length: '00100000',
    });
    assert.equal(Buffer.from(answer!).toString('hex'), expected.toString('hex'));
    assert.deepEqual(more, []);
  });

  it('MAPPED is about the mappings of the guest', () => {
    const buffer = held(0x1000);
    const flagsOf = () =>
      Buffer.from(restore(buffer, { buffer: record({}) }, GREEDY, NOTHING)[0]!).readUInt32LE(12);
    assert.equal(flagsOf(), 0);
    buffer.planes[0]!.slot!.references = 1;
    assert.equal(flagsOf(), 1);
    buffer.planes[0]!.slot!.references = 0;
    assert.equal(flagsOf(), 0);
    const unmapped = new VideoBuffer(3, [new VideoPlane(0x1000, 0x0102_0000)]);
    const [answer] = restore(unmapped, { buffer: record({}) }, GREEDY, NOTHING);
    assert.equal(Buffer.from(answer!).readUInt32LE(12), 0, 'direct mode: not mapped yet');
  });

  it("planes of the answer have cookies; the guest's pointer and its surplus records are its own", () => {
    const buffer = held(0x2000, 0x1000);
    const host = {
      buffer: record({ type: '09000000', m: '00f0debc9a785634', length: '02000000' }),
      planes: Buffer.concat([
        planeRecord('01000000', '00200000', '0090000000000000', '00000000'),
        planeRecord('02000000', '00100000', '0020010000000000', '00000000'),
      ]),
    };
    const surplus = Buffer.alloc(64, 0xcd);
    const guestPlanes = Buffer.concat([Buffer.alloc(128, 0xee), surplus]);
    const parts = restore(buffer, host, GREEDY, guestPlanes).map((part) => Buffer.from(part));
    assert.equal(parts[0]!.subarray(64, 72).toString('hex'), 'efcdab8967452301', "the guest's pointer");
    assert.equal(
      Buffer.concat(parts.slice(1)).toString('hex'),
      Buffer.concat([
        planeRecord('01000000', '00200000', '0000020100000000', '00000000'),
        planeRecord('02000000', '00100000', '0000030100000000', '00000000'),
        surplus,
      ]).toString('hex'),
    );
  });

  it('a frame: the record as DQBUF gave it, without QUEUED, DONE, addresses or descriptors', () => {
    const host = record({
      index: '03000000',
      type: '01000000',
      bytesused: '00080000',
      flags: ff(4),
      ...TIMES,
      memory: '02000000',
      m: '0010203040507f00',
      length: '00100000',
      requestFd: '09000000',
    });
    const queued = held(0x1000);
    const { buffer, planes } = received(queued, { buffer: host });
    const expected = record({
      index: '03000000',
      type: '01000000',
      bytesused: '00080000',
      // All but 0x800000, 0x80, QUEUED 0x2, DONE 0x4, MAPPED 0x1.
      flags: '78ff7fff',
      ...TIMES,
      memory: '01000000',
      length: '00100000',
    });
    assert.equal(Buffer.from(buffer).toString('hex'), expected.toString('hex'));
    assert.equal(Buffer.from(planes).toString('hex'), '00'.repeat(512));
    queued.planes[0]!.slot!.references = 2;
    const flags = Buffer.from(received(queued, { buffer: host }).buffer).readUInt32LE(12);
    assert.equal(flags & 1, 1, 'MAPPED, when the guest has it mapped');
    assert.equal(Buffer.from(received(undefined, { buffer: host }).buffer).readUInt32LE(12) & 1, 0);
  });

  it('a frame of planes: as many records as it says, each without its place', () => {
    const one = (mark: string) => planeRecord(`${mark}000000`, '00100000', '0010203040507f00', '04000000');
    const eight = Buffer.concat(Array.from({ length: 8 }, (_, n) => one(`0${n + 1}`)));
    for (const [length, counted] of [
      [2, 2],
      [8, 8],
      [0xffff_ffff, 8],
    ] as const) {
      const host = record({ type: '09000000' });
      host.writeUInt32LE(length, 72);
      const { planes } = received(held(0x1000, 0x1000), { buffer: host, planes: eight });
      const expected = Array.from({ length: 8 }, (_, n) =>
        n < counted
          ? planeRecord(`0${n + 1}000000`, '00100000', '00'.repeat(8), '04000000')
          : Buffer.alloc(64),
      );
      assert.equal(Buffer.from(planes).toString('hex'), Buffer.concat(expected).toString('hex'));
    }
  });

  describe('where the frame is copied', () => {
    const LENGTH = 0x3000;

    const copying = (type: number) => {
      const host = new MemoryFile('a host buffer, say', LENGTH);
      const slot = success(shared.allocate(LENGTH));
      const queue = new BufferQueue(type, 'copy');
      const buffer = new VideoBuffer(0, [new VideoPlane(LENGTH, 1, { slot, host: host.region })]);
      const place = shared.memory(slot);
      const inGuest = Buffer.from(place.region.windows[0]!, place.offset, LENGTH);
      return { host, inHost: Buffer.from(host.region.windows[0]!), inGuest, queue, buffer };
    };

    it('a captured frame goes to the guest: the bytes that are used, the whole plane where that is 0, never more', async () => {
      for (const [bytesused, copied] of [
        [0x1234, 0x1234],
        [0, LENGTH],
        [LENGTH, LENGTH],
        [0xffff_ffff, LENGTH],
      ] as const) {
        const { host, inHost, inGuest, queue, buffer } = copying(CAPTURE);
        inHost.fill(0x5a);
        const answered = record({});
        answered.writeUInt32LE(bytesused, 8);
        await mmap.release(sessionOf(shared), queue, buffer, { buffer: answered });
        assert.ok(inGuest.equals(Buffer.concat([Buffer.alloc(copied, 0x5a), Buffer.alloc(LENGTH - copied)])));
        host.close();
      }
    });

    it('a frame to put out comes from the guest', async () => {
      const { host, inHost, inGuest, queue, buffer } = copying(OUTPUT);
      inGuest.fill(0xa7);
      const given = record({ bytesused: '00100000' });
      await attach(queue, buffer, given, NOTHING, shared);
      assert.ok(inHost.equals(Buffer.concat([Buffer.alloc(0x1000, 0xa7), Buffer.alloc(LENGTH - 0x1000)])));
      host.close();
    });

    it('nothing is copied where the queue is on the slots themselves, or a plane has none', async () => {
      const { host, inHost, inGuest, buffer } = copying(CAPTURE);
      inHost.fill(0x5a);
      for (const backing of ['userptr', 'direct', 'unmapped'] as const)
        await mmap.release(sessionOf(shared), new BufferQueue(CAPTURE, backing), buffer, {
          buffer: record({}),
        });
      const bare = new VideoBuffer(0, [new VideoPlane(LENGTH, 1)]);
      await mmap.release(sessionOf(shared), new BufferQueue(CAPTURE, 'copy'), bare, { buffer: record({}) });
      assert.ok(inGuest.every((byte) => byte === 0));
      host.close();
    });
  });
});
