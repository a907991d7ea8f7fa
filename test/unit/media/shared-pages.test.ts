/** SHARED_PAGES: which pages the kernel gets, and how long their mapping exists. Guest memory and mappings are real. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Errno } from '../../../src/errno.js';
import { LinearMappings, type PageMapping } from '../../../src/media/memory/guest-pages.js';
import type { Attached, BufferCall } from '../../../src/media/memory/memory-type.js';
import { SgBudget } from '../../../src/media/memory/sg-budget.js';
import { sharedPages } from '../../../src/media/memory/shared-pages.js';
import { defaultPolicy, MAX_LINEAR_PIECES, MAX_SESSION_LIST_BYTES } from '../../../src/media/policy.js';
import type { Backing } from '../../../src/media/queues/backings.js';
import { BufferQueue } from '../../../src/media/queues/buffer-queue.js';
import { type HostBuffer, VideoBuffer, VideoPlane } from '../../../src/media/queues/video-buffer.js';
import type { Session } from '../../../src/media/session.js';
import { type NodeCall, native, type Region } from '../../../src/native.js';
import { failure } from '../../../src/result.js';
import { privateRegion } from '../../../src/virtio/memory-file.js';
import { Price, TURN_BYTES, Turn } from '../../../src/virtio/turn.js';
import { success } from '../success.js';
import { Bench, BUFFERS, GUEST, RAM } from '../virtio/bench.js';
import { joinPieces } from './fake-join.js';

const CAPTURE = 1;
const CAPTURE_MPLANE = 9;
const OUTPUT = 2;
const [QUERYBUF, QBUF, PREPARE_BUF] = [9, 15, 93];
const PAGE = 4096;
const LENGTH = 3 * PAGE - 100;
const BASE = GUEST + BUFFERS;
const USERPTR = '0102030405060708';

type Entry = readonly [address: number, length: number];
const privateRam = (size: number) => native.memoryFile('more guest memory', size);
const scattered = (...pages: number[]): Entry[] =>
  pages.map((page, n) => [BASE + page * PAGE, n === pages.length - 1 ? PAGE - 100 : PAGE]);

describe('memory type SHARED_PAGES', () => {
  let bench: Bench;
  let open: PageMapping[];
  /** Number of joins. */
  let made: number;
  let session: Session;

  beforeEach(() => {
    bench = new Bench();
    open = [];
    made = 0;
    const real = new LinearMappings();
    const make = async (...given: Parameters<LinearMappings['join']>) => {
      const mapped = await real.join(...given);
      if (!mapped) return null;
      made++;
      const mapping: PageMapping = {
        ...mapped,
        close: () => {
          mapped.close();
          open = open.filter((each) => each !== mapping);
        },
      };
      open.push(mapping);
      return mapping;
    };
    session = {
      id: 1,
      lists: new SgBudget(MAX_SESSION_LIST_BYTES),
      call: async (call: NodeCall & { kind: 'join' }) => joinPieces(call),
      context: {
        memory: bench.memory,
        policy: defaultPolicy,
        linearMappings: { join: make },
        turn: new Turn(),
      },
    } as unknown as Session;
  });
  afterEach(() => {
    for (const mapping of [...open]) mapping.close();
    bench.close();
  });

  /** A buffer with one plane. `host`: the plane's host memory, if there is any. */
  const held = (length = LENGTH, host: Region | null = null): VideoBuffer =>
    new VideoBuffer(0, [new VideoPlane(length, 1, { host })]);
  const call = (
    buffer: VideoBuffer,
    backing: Backing,
    entries: readonly Entry[],
    { nr = QBUF, type = CAPTURE, length = LENGTH } = {},
  ): BufferCall => {
    const record = Buffer.alloc(88);
    record.writeUInt32LE(type, 4);
    record.writeUInt32LE(2, 60);
    record.write(USERPTR, 64, 'hex');
    record.writeUInt32LE(length, 72);
    const rest = Buffer.alloc(16 * entries.length);
    for (const [n, [address, bytes]] of entries.entries()) {
      rest.writeBigUInt64LE(BigInt(address), 16 * n);
      rest.writeUInt32LE(bytes, 16 * n + 8);
      rest.writeUInt32LE(0xdead_beef, 16 * n + 12);
    }
    const guest = { record, planes: Buffer.alloc(0), rest };
    return { session, queue: new BufferQueue(type, backing), vb: buffer, guest, nr, request: 0 };
  };
  const attach = async (given: BufferCall): Promise<Attached> => {
    return success(await sharedPages.attach(given));
  };
  const place = ({ host }: Attached) => host.memory![0]!;
  const buffer = () => held();

  it('the same list keeps its mapping; another one has a mapping of its own beside it, until the kernel has taken it', async () => {
    const plane = buffer();
    const first = await attach(call(plane, 'pages-userptr', scattered(5, 2, 9)));
    first.settle!(0);
    assert.equal(open.length, 1);
    const again = await attach(call(plane, 'pages-userptr', scattered(5, 2, 9)));
    again.settle!(0);
    assert.equal(place(again).region, place(first).region);
    const other = await attach(call(plane, 'pages-userptr', scattered(5, 3, 9)));
    assert.notEqual(place(other).region, place(first).region);
    assert.equal(
      open.length,
      2,
      'the old mapping must be there while the new one is made: else the same address',
    );
    other.settle!(0);
    assert.deepEqual(
      open.map(({ linear: mapping }) => mapping),
      [place(other).region],
    );
  });

  it('a piece that crosses memory regions is joined over both', async () => {
    const next = privateRam(2 * PAGE);
    bench.memory.add(
      { guestAddress: GUEST + RAM, size: 2 * PAGE, userAddress: 2 ** 40, fileOffset: 0 },
      next,
    );
    const entries: Entry[] = [[GUEST + RAM - PAGE, LENGTH]];
    const crossing = await attach(call(buffer(), 'pages-userptr', entries));
    crossing.settle!(0);
    assert.deepEqual([place(crossing).length, open.length], [LENGTH, 1]);
    const beyond: Entry[] = [[GUEST + RAM + PAGE, LENGTH]];
    assert.equal(await sharedPages.attach(call(buffer(), 'pages-userptr', beyond)), failure(Errno.EFAULT));
  });

  it('a list that the kernel refuses is forgotten, the one before it stays', async () => {
    const plane = buffer();
    const first = await attach(call(plane, 'pages-userptr', scattered(5, 2, 9)));
    first.settle!(0);
    (await attach(call(plane, 'pages-userptr', scattered(1, 2, 3)))).settle!(Errno.EINVAL);
    assert.deepEqual(
      open.map(({ linear: mapping }) => mapping),
      [place(first).region],
    );
    (await attach(call(plane, 'pages-userptr', scattered(5, 2, 9)))).settle!(Errno.EINVAL);
    assert.equal(open.length, 1);
  });

  it('pieces that end inside a page are carried: private memory of the size of the plane, and a copy', async () => {
    const plane = buffer();
    const entries: Entry[] = [
      [BASE + 10, 1000],
      [BASE + 0x8000, LENGTH - 1000],
    ];
    const attached = await attach(call(plane, 'pages-userptr', entries));
    assert.equal(open.length, 0);
    assert.deepEqual([place(attached).offset, place(attached).length], [0, LENGTH]);
    attached.settle!(0);
    const region = plane.planes[0]!.host!;
    Buffer.from(region.windows[0]!).fill(0x5a);
    await sharedPages.release(session, new BufferQueue(CAPTURE, 'pages-userptr'), plane, answer(LENGTH));
    assert.ok(bench.seen(10, 1000).every((byte) => byte === 0x5a));
    assert.ok(bench.seen(0x8000, LENGTH - 1000).every((byte) => byte === 0x5a));
    assert.ok(bench.seen(0, 10).every((byte) => byte === 0));
    assert.equal(bench.seen(1010, 1)[0], 0);
    region.close();
  });

  it('carried, a frame to put out is read before QBUF, and not before PREPARE_BUF', async () => {
    const region = privateRegion('a host buffer, say', LENGTH);
    const plane = held(LENGTH, region);
    bench.put(5 * PAGE, Buffer.alloc(PAGE, 0x77));
    const at = () => Buffer.from(region.windows[0]!)[0];
    const given = call(plane, 'pages-copy', scattered(5, 2, 9), { nr: PREPARE_BUF, type: OUTPUT });
    (await attach(given)).settle!(0);
    assert.equal(at(), 0);
    (await attach({ ...given, nr: QBUF, request: 0 })).settle!(0);
    assert.equal(at(), 0x77);
    region.close();
  });

  it('a prepared buffer takes no other list', async () => {
    const plane = buffer();
    const first = await attach(call(plane, 'pages-userptr', scattered(5, 2, 9), { nr: PREPARE_BUF }));
    first.settle!(0);
    assert.equal(plane.isPrepared, true);
    const queued = await attach(call(plane, 'pages-userptr', []));
    assert.equal(place(queued).region, place(first).region);
    queued.settle!(0);
    assert.equal(plane.isPrepared, false);
  });

  it('more pieces than the kernel should keep mappings for are carried', async () => {
    const pages = MAX_LINEAR_PIECES / 64 + 1;
    const many = Array.from({ length: pages }, (_, n): Entry => [BASE + ((2 * n) % 1000) * PAGE, PAGE]);
    const length = pages * PAGE;
    const buffers = Array.from({ length: 64 }, () => held(length));
    for (const each of buffers) (await attach(call(each, 'pages-userptr', many, { length }))).settle!(0);
    assert.equal(open.length, 63);
    assert.ok(buffers.at(-1)!.planes[0]!.host);
    open[0]!.close();
    (await attach(call(buffers.at(-1)!, 'pages-userptr', many, { length }))).settle!(0);
    assert.equal(open.length, 63, 'what was given back can be had again');
    buffers.at(-1)!.planes[0]!.host!.close();
  });

  it("every answer has the program's pointer and length", async () => {
    const plane = buffer();
    const given = call(plane, 'pages-copy', scattered(1, 2, 3), { length: LENGTH });
    (await attach(given)).settle!(0);
    for (const nr of [QBUF, QUERYBUF]) {
      const [record] = sharedPages.restore({ ...given, nr }, answer(0));
      const bytes = Buffer.from(record!);
      assert.equal(bytes.subarray(64, 72).toString('hex'), USERPTR);
      assert.deepEqual([bytes.readUInt32LE(60), bytes.readUInt32LE(72)], [2, LENGTH]);
    }
  });

  it('QUERYBUF looks at no list, and before the first QBUF gives back what it was given', async () => {
    const given = call(buffer(), 'pages-userptr', [], { nr: QUERYBUF });
    const { host } = await attach(given);
    assert.equal(host.memory, undefined);
    assert.equal(
      Buffer.from(sharedPages.restore(given, answer(0))[0]!)
        .subarray(64, 72)
        .toString('hex'),
      USERPTR,
    );
  });

  it('lists that do not add up are refused, with nothing made', async () => {
    const refusals: readonly (readonly [string, readonly Entry[], number, number])[] = [
      ['none', [], LENGTH, Errno.EINVAL],
      ['short', [[BASE, LENGTH - 1]], LENGTH, Errno.EINVAL],
      ['empty', [[BASE, 0]], LENGTH, Errno.EINVAL],
      ['too small for a frame', [[BASE, PAGE]], PAGE, Errno.EINVAL],
      ['outside', [[GUEST - PAGE, LENGTH]], LENGTH, Errno.EFAULT],
      [
        'partly outside',
        [
          [BASE, PAGE],
          [2 ** 45, LENGTH],
        ],
        LENGTH,
        Errno.EFAULT,
      ],
      ['not a number', [[2 ** 53, LENGTH]], LENGTH, Errno.EINVAL],
      ['4 GiB', [[BASE, 0xffff_ffff]], 0xffff_ffff, Errno.EINVAL],
    ];
    for (const backing of ['pages-userptr', 'pages-copy'] as const)
      for (const [what, entries, length, errno] of refusals)
        assert.equal(
          await sharedPages.attach(call(buffer(), backing, entries, { length })),
          failure(errno),
          what,
        );
    assert.equal(open.length, 0);
  });

  describe('of several planes', () => {
    const planes = (length: number): VideoBuffer =>
      new VideoBuffer(
        0,
        [1, 2].map((mmapOffset) => new VideoPlane(length, mmapOffset)),
      );
    /** QBUF. `lengths`: bytes of each plane. `lists`: number of entries, of one page each, in each SG list. */
    const callOf = (
      buffer: VideoBuffer,
      lengths: readonly number[],
      lists: readonly number[],
    ): BufferCall => {
      const entries = lists.flatMap((count) =>
        Array.from({ length: count }, (_, n): Entry => [BASE + ((2 * n) % 1000) * PAGE, PAGE]),
      );
      const given = call(buffer, 'pages-userptr', entries, { type: CAPTURE_MPLANE });
      given.guest.record.writeUInt32LE(2, 72);
      const records = Buffer.alloc(128);
      for (const [n, length] of lengths.entries()) records.writeUInt32LE(length, 64 * n + 4);
      return { ...given, guest: { ...given.guest, planes: records } };
    };
    const LONG = 64 * PAGE;

    for (const [what, errno, lengths, lists] of [
      ['a second plane that is too small', Errno.EINVAL, [LONG, PAGE], [64, 1]],
      ['a second list that is missing', Errno.EINVAL, [LONG, LONG], [64]],
    ] as const)
      it(`${what}: refused before anything is made of the first`, async () => {
        assert.equal(await sharedPages.attach(callOf(planes(LONG), lengths, lists)), failure(errno));
        assert.deepEqual([made, open.length, session.lists.used], [0, 0, 0]);
      });

    it('a second plane whose pages are nowhere takes the mapping of the first with it, however often', async () => {
      const given = callOf(planes(2 * PAGE), [2 * PAGE, 2 * PAGE], [2, 2]);
      given.guest.rest.writeBigUInt64LE(BigInt(GUEST - PAGE), 48);
      const maps = () => readFileSync('/proc/self/maps', 'latin1').split('\n').length;
      const before = maps();
      for (let n = 0; n < 100; n++) assert.equal(await sharedPages.attach(given), failure(Errno.EFAULT));
      assert.deepEqual([made, open.length, session.lists.used], [100, 0, 0]);
      assert.ok(maps() - before < 100, 'mappings are left');
    });

    it('the mapping that a plane has already stays where another plane is refused', async () => {
      const buffer = planes(2 * PAGE);
      const good = callOf(buffer, [2 * PAGE, 2 * PAGE], [2, 2]);
      (await attach(good)).settle!(0);
      const bad = callOf(buffer, [2 * PAGE, 2 * PAGE], [2, 2]);
      bad.guest.rest.writeBigUInt64LE(BigInt(GUEST - PAGE), 48);
      assert.equal(await sharedPages.attach(bad), failure(Errno.EFAULT));
      assert.equal(open.length, 2);
      (await attach(good)).settle!(0);
      assert.equal(made, 2, 'the same lists again: the same mappings');
    });
  });

  it('SG lists are counted while a plane has them, 16 bytes a piece; one too many is ENOMEM', async () => {
    const [pieces, length] = [32_768, 32_768];
    const many = Array.from({ length: pieces }, (_, n): Entry => [BASE + 2 * n, 1]);
    const most = MAX_SESSION_LIST_BYTES / (16 * pieces);
    const buffers = Array.from({ length: most + 1 }, () => held(length));
    for (const each of buffers.slice(0, most))
      (await attach(call(each, 'pages-copy', many, { length }))).settle!(0);
    assert.equal(session.lists.used, MAX_SESSION_LIST_BYTES);
    const given = call(buffers[most]!, 'pages-copy', many, { length });
    assert.equal(await sharedPages.attach(given), failure(Errno.ENOMEM));
    const again = call(buffers[0]!, 'pages-copy', many, { length });
    (await attach(again)).settle!(0);
    assert.equal(session.lists.used, MAX_SESSION_LIST_BYTES, 'the same list is kept once');
    buffers[0]!.planes[0]!.pages!.memory.release();
    (await attach(given)).settle!(0);
    assert.equal(session.lists.used, MAX_SESSION_LIST_BYTES);
  });

  it('a frame of many pieces is copied in as many steps, over turns of the loop', async () => {
    const length = 65_529;
    const many = Array.from({ length }, (_, n): Entry => [BASE + 2 * n, 1]);
    const region = privateRegion('a host buffer, say', length);
    const plane = held(length, region);
    (await attach(call(plane, 'pages-copy', many, { length }))).settle!(0);
    Buffer.from(region.windows[0]!).fill(0x5a);
    let steps = 0;
    const { copyIn } = bench.memory;
    bench.memory.copyIn = (...given) => {
      steps++;
      copyIn.apply(bench.memory, given);
    };
    let turns = 0;
    const next = session.context.turn.next.bind(session.context.turn);
    session.context.turn.next = () => {
      turns++;
      return next();
    };
    await sharedPages.release(session, new BufferQueue(CAPTURE, 'pages-copy'), plane, answer(length));
    assert.equal(steps, length);
    assert.ok(turns >= length / (TURN_BYTES / Price.PIECE) - 1, `${turns} turns`);
    const seen = bench.seen(0, 2 * length);
    assert.ok(seen.every((byte, n) => byte === (n % 2 ? 0 : 0x5a)));
    region.close();
  });

  it('a copy ends with its session: nothing is written to pages after CLOSE', async () => {
    const length = 65_529;
    const many = Array.from({ length }, (_, n): Entry => [BASE + 2 * n, 1]);
    const host = privateRegion('a host buffer, say', length);
    const plane = held(length, host);
    (await attach(call(plane, 'pages-copy', many, { length }))).settle!(0);
    const copying = sharedPages.release(
      session,
      new BufferQueue(CAPTURE, 'pages-copy'),
      plane,
      answer(length),
    );
    Object.assign(session, { closing: true });
    host.close();
    let writes = 0;
    bench.memory.copyIn = () => {
      writes++;
    };
    await copying;
    assert.equal(writes, 0);
  });

  /** The kernel's v4l2_buffer with this `bytesused`. */
  const answer = (bytesused: number): HostBuffer => {
    const record = Buffer.alloc(88);
    record.writeUInt32LE(bytesused, 8);
    record.writeUInt32LE(LENGTH + PAGE, 72);
    return { buffer: record };
  };
});
