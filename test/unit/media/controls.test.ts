/** G/S/TRY_EXT_CTRLS over a fake node: what reaches the node, what comes back, and which SG lists are refused. */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import { type NodeCall, native } from '../../../src/native.js';
import { BUFFERS, GUEST } from '../virtio/bench.js';
import { DeviceBench, turns, u32 } from './bench.js';

const EINTR = 4;
const EIO = 5;
const EACCES = 13;
const ENOMEM = 12;
const EFAULT = 14;
const EINVAL = 22;
const ENOTTY = 25;
const ENOSPC = 28;
const HAS_PAYLOAD = 0x100;

/** Ids of the fake's controls, one without a payload and one with one. */
const INTEGER = 0x0098_0900;
const ARRAY = 0x0098_0911;
const POINTER = 0x7fff_1234_5678_9abcn;

type Call = NodeCall & { kind: 'controls' };

const u64 = (value: bigint): Buffer => {
  const raw = Buffer.alloc(8);
  raw.writeBigUInt64LE(value);
  return raw;
};
const header = (count: number, which = 0, requestFd = 0) =>
  Buffer.concat([u32(which, count, 0x77, requestFd, 0x11, 0x22), u64(POINTER)]);
const control = (id: number, size = 0, value = POINTER) => Buffer.concat([u32(id, size, 0x33), u64(value)]);
const sg = (start: number | bigint, length: number) =>
  Buffer.concat([u64(BigInt(start)), u32(length, 0xffff_ffff)]);

describe('extended controls', () => {
  let bench: DeviceBench;
  let session: number;
  let calls: Call[];
  /** Guest address of the payloads, beyond the memory that commands use. */
  const MEMORY = GUEST + BUFFERS + 0x20_0000;
  const memory = (length: number) => bench.commands.seen(0x20_0000, length);

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  beforeEach(async () => {
    bench = new DeviceBench();
    calls = [];
    // QUERY_EXT_CTRL, flags at byte 72. With a flag in the id, the fake answers about the next control, an array.
    bench.node.ioctls.set(103, (payload) => {
      const id = payload.readUInt32LE(0);
      if (id !== INTEGER && id !== ARRAY && id < 0x4000_0000) return EINVAL;
      payload.writeUInt32LE(id === INTEGER ? 0 : HAS_PAYLOAD, 72);
      return 0;
    });
    bench.node.controls = (call) => {
      calls.push(call);
      return 0;
    };
    bench.start();
    session = await bench.open();
    bench.commands.put(0x20_0000, Buffer.alloc(0x1000, 0x44));
  });
  afterEach(() => bench.close());

  const ask = (
    array: Buffer,
    lists: Uint8Array = Buffer.alloc(0),
    which = 0,
    nr = 71,
    count = array.length / 20,
  ) =>
    bench.command(
      Buffer.concat([u32(3, 0, session, nr), header(count, which, 3), array, lists]),
      8 + 32 + array.length,
    );

  it('header and array go in without pointers or descriptors, and come back with them', async () => {
    bench.node.controls = (call) => {
      calls.push(call);
      Buffer.from(call.controls.buffer, call.controls.byteOffset).writeUInt32LE(1, 8);
      Buffer.from(call.array.buffer, call.array.byteOffset).writeUInt32LE(0x99, 12);
      return 0;
    };
    const { status, payload } = await ask(control(INTEGER));
    assert.equal(status, 0);
    const [call] = calls;
    const given = Buffer.from(call!.controls);
    assert.deepEqual([given.readUInt32LE(0), given.readUInt32LE(4), given.readUInt32LE(12)], [0, 1, 0]);
    assert.deepEqual([call!.nr, call!.payloads], [71, [null]]);
    assert.deepEqual([payload.readUInt32LE(8), payload.readUInt32LE(12)], [1, 3], 'error_idx, request_fd');
    assert.equal(payload.readBigUInt64LE(24), POINTER);
    assert.equal(payload.readUInt32LE(32 + 12), 0x99, 'the value');
  });

  it('a payload is gathered from its pieces, given to the kernel, and written back as far as it says', async () => {
    bench.node.controls = (call) => {
      calls.push({ ...call, payloads: [Buffer.from(call.payloads[0]!)] });
      call.payloads[0]!.fill(0xee);
      Buffer.from(call.array.buffer, call.array.byteOffset).writeUInt32LE(10, 4);
      return 0;
    };
    bench.commands.put(0x20_0000, Buffer.from(Array.from({ length: 64 }, (_, n) => n)));
    const lists = Buffer.concat([sg(MEMORY + 40, 3), sg(MEMORY + 5, 6), sg(MEMORY + 20, 100)]);
    const { status, payload } = await ask(control(ARRAY, 16), lists);
    assert.equal(status, 0);
    assert.deepEqual(
      [...calls[0]!.payloads[0]!],
      [40, 41, 42, 5, 6, 7, 8, 9, 10, 20, 21, 22, 23, 24, 25, 26],
    );
    const expected = Buffer.from(Array.from({ length: 64 }, (_, n) => n));
    for (const at of [40, 41, 42, 5, 6, 7, 8, 9, 10, 20]) expected[at] = 0xee;
    assert.deepEqual(memory(64), expected, 'ten bytes came back');
    assert.deepEqual([payload.readUInt32LE(36), payload.readBigUInt64LE(44)], [10, POINTER]);
  });

  it('only a control with a payload gets a pointer; the lists of others are read over', async () => {
    const array = Buffer.concat([control(INTEGER, 4, 7n), control(ARRAY, 4), control(INTEGER, 0, 8n)]);
    const { status } = await ask(array, Buffer.concat([sg(MEMORY, 4), sg(MEMORY + 8, 4)]), 0, 72);
    assert.equal(status, 0);
    assert.deepEqual(
      calls[0]!.payloads.map((payload) => payload?.length ?? null),
      [null, 4, null],
    );
    const ids = bench.node.file.asked(103).length;
    await ask(array, Buffer.concat([sg(MEMORY, 4), sg(MEMORY + 8, 4)]));
    assert.equal(bench.node.file.asked(103).length, ids, 'asked once for each control');
  });

  it('flags of an id do not make another control of it', async () => {
    for (const flag of [0x4000_0000, 0x8000_0000, 0xc000_0000, 0x1000_0000]) {
      calls.length = 0;
      await ask(control((INTEGER | flag) >>> 0, 8), sg(MEMORY, 8), 0, 72);
      assert.deepEqual(
        calls[0]!.payloads,
        [null],
        `an address of the host as a value: 0x${flag.toString(16)}`,
      );
    }
  });

  it('errors of the kernel come with header and array: ENOTTY, EACCES, ENOSPC with the size', async () => {
    for (const errno of [ENOTTY, EACCES, ENOSPC]) {
      bench.node.controls = (call) => {
        Buffer.from(call.array.buffer, call.array.byteOffset).writeUInt32LE(77, 4);
        call.payloads[0]!.fill(0xee);
        return errno;
      };
      const { status, length, payload } = await ask(control(ARRAY, 4), sg(MEMORY, 4));
      assert.deepEqual([status, length], [errno, 8 + 32 + 20]);
      assert.deepEqual([payload.readUInt32LE(36), payload.readBigUInt64LE(44)], [77, POINTER]);
      assert.deepEqual(memory(4), Buffer.alloc(4, 0x44), 'the payload is left alone');
    }
  });

  it('requests never reach the kernel', async () => {
    const { status, length } = await ask(control(INTEGER), undefined, 0x0f01_0000);
    assert.deepEqual([status, length, calls.length], [EINVAL, 60, 0]);
  });

  const refused: Record<string, [number, number, () => Uint8Array]> = {
    'that is missing': [EINVAL, 8, () => Buffer.alloc(0)],
    'that is cut off': [EINVAL, 8, () => sg(MEMORY, 8).subarray(0, 15)],
    'that is too short': [EINVAL, 8, () => Buffer.concat([sg(MEMORY, 4), sg(MEMORY, 3)])],
    'of empty entries': [EINVAL, 8, () => Buffer.concat(Array(100).fill(sg(MEMORY, 0)))],
    'outside of guest memory': [EFAULT, 8, () => sg(0x10_0000, 8)],
    'half outside': [EFAULT, 16, () => Buffer.concat([sg(MEMORY, 8), sg(GUEST - 4, 8)])],
    'that wraps around': [EINVAL, 8, () => sg((1n << 64n) - 4n, 8)],
    'beyond what a number can hold': [EINVAL, 8, () => sg(1n << 53n, 8)],
    'of more than 1 MiB': [ENOMEM, 0x10_0001, () => sg(MEMORY, 0x10_0001)],
    'of 4 GiB': [ENOMEM, 0xffff_ffff, () => sg(MEMORY, 0xffff_ffff)],
  };

  for (const [what, [errno, size, list]] of Object.entries(refused))
    it(`an SG list ${what} is refused with the echo, and the node never hears of it`, async () => {
      const one = control(ARRAY, size);
      const { status, payload } = await ask(one, list());
      assert.equal(status, errno);
      assert.deepEqual(payload.subarray(32), one);
      assert.deepEqual(calls, []);
      assert.deepEqual(memory(16), Buffer.alloc(16, 0x44));
    });

  it('256 payloads of 4 GiB are refused at the first: 1 TiB is never added up in memory', async () => {
    const array = Buffer.concat(Array(100).fill(control(ARRAY, 0xffff_ffff)));
    const before = process.memoryUsage().arrayBuffers;
    assert.equal((await ask(array, Buffer.concat(Array(90).fill(sg(MEMORY, 0xffff_ffff))))).status, ENOMEM);
    assert.ok(process.memoryUsage().arrayBuffers - before < 1 << 20);
    assert.deepEqual(calls, []);
  });

  it('counts that the array does not have, and more than 1024, are EINVAL with the header', async () => {
    for (const count of [2, 1025, 0x8000_0000, 0xffff_ffff]) {
      const { status, length, payload } = await ask(control(INTEGER), undefined, 0, 71, count);
      assert.deepEqual([status, payload.readUInt32LE(4)], [EINVAL, count]);
      assert.ok(length >= 40);
    }
    assert.deepEqual(calls, []);
  });

  it('1024 controls and 1 MiB are taken, and a control that nobody knows gets no pointer', async () => {
    const many = Buffer.concat(Array(100).fill(control(INTEGER)));
    assert.equal((await ask(many)).status, 0);
    bench.node.traits.set(`payload:${INTEGER}`, false);
    const most = Buffer.concat([u32(3, 0, session, 71), header(1024), ...Array(1024).fill(control(INTEGER))]);
    assert.equal((await bench.command(most, 40)).status, 0);
    assert.equal(calls.at(-1)!.payloads.length, 1024);
    const pieces = Array.from({ length: 16 }, () => sg(GUEST, 0x1_0000));
    assert.equal((await ask(control(ARRAY, 0x10_0000), Buffer.concat(pieces))).status, 0);
    assert.equal(calls.at(-1)!.payloads[0]!.length, 0x10_0000);
    assert.equal((await ask(control(INTEGER + 7, 8), sg(MEMORY, 8))).status, 0);
    assert.deepEqual(calls.at(-1)!.payloads, [null]);
  });

  it('where the node does not say now whether there is a payload, its errno is the answer, and nothing is remembered', async () => {
    const told = bench.node.ioctls.get(103)!;
    for (const errno of [ENOMEM, EINTR, EIO]) {
      bench.node.ioctls.set(103, () => errno);
      const one = control(ARRAY, 4);
      const { status, payload } = await ask(one, sg(MEMORY, 4));
      assert.deepEqual([status, payload.subarray(32)], [errno, one]);
    }
    assert.equal(calls.length, 0);
    bench.node.ioctls.set(103, told);
    assert.equal((await ask(control(ARRAY, 4), sg(MEMORY, 4))).status, 0);
    assert.equal(calls[0]!.payloads[0]!.length, 4);
  });

  it('count 0 is asked of the kernel', async () => {
    const { status, length } = await ask(Buffer.alloc(0));
    assert.deepEqual([status, length, calls[0]?.payloads], [0, 40, []]);
  });

  it('memory that goes away while the kernel works is EFAULT, with what the guest sent', async () => {
    const region = { guestAddress: 0x9000_0000, size: 4096, userAddress: 0x9000_0000, fileOffset: 0 };
    bench.memory.add(region, native.memoryFile('going-away', 4096));
    bench.node.controls = () => {
      assert.ok(bench.memory.remove(region));
      return 0;
    };
    const one = control(ARRAY, 4);
    const { status, payload } = await ask(one, sg(region.guestAddress, 4));
    assert.deepEqual([status, payload.subarray(32)], [EFAULT, one]);
  });

  it("past the deadline the guest's pages are not written to", async () => {
    const release = bench.node.hold();
    bench.node.traits.set(`payload:${ARRAY}`, true);
    bench.node.controls = (call) => {
      call.payloads[0]!.fill(0xee);
      return 0;
    };
    const one = control(ARRAY, 4);
    const head = bench.offer(Buffer.concat([u32(3, 0, session, 71), header(1), one, sg(MEMORY, 4)]), 60);
    await turns();
    bench.device.queueStopped(0);
    const interrupted = bench.answered(head)!;
    assert.deepEqual([interrupted.status, interrupted.length], [EINTR, 60], 'with the echo, for the errno');
    assert.deepEqual(interrupted.payload.subarray(32), one);
    release();
    await turns();
    assert.deepEqual(memory(4), Buffer.alloc(4, 0x44));
  });
});
