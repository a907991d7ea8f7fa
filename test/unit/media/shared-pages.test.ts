/** Memory type SHARED_PAGES: lists that are joined, kept, counted or refused. The guest's memory is real. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Errno } from '../../../src/errno.js';
import type { BufferCall } from '../../../src/media/memory/memory-type.js';
import { sharedPages } from '../../../src/media/memory/shared-pages.js';
import { MAX_SESSION_LIST_BYTES } from '../../../src/media/policy.js';
import { VideoBuffer, VideoPlane } from '../../../src/media/queues/video-buffer.js';
import { native } from '../../../src/native.js';
import { failure } from '../../../src/result.js';
import { GUEST, RAM } from '../virtio/bench.js';
import {
  answer,
  attach,
  BASE,
  type Entry,
  held,
  LENGTH,
  PAGE,
  type PagesStage,
  PREPARE_BUF,
  pagesSuite,
  place,
  QBUF,
  scattered,
  USERPTR,
} from './support/pages-suite.js';

const CAPTURE_MPLANE = 9;
const QUERYBUF = 9;
const privateRam = (size: number) => native.memoryFile('more guest memory', size);

describe('memory type SHARED_PAGES', () => {
  let stage: PagesStage;
  pagesSuite((made) => {
    stage = made;
  });

  it('the same list keeps its mapping; another one has a mapping of its own beside it, until the kernel has taken it', async () => {
    const plane = held();
    const first = await stage.taken(plane, 'pages-userptr', scattered(5, 2, 9));
    assert.equal(stage.open.length, 1);
    const again = await stage.taken(plane, 'pages-userptr', scattered(5, 2, 9));
    assert.equal(place(again).region, place(first).region);
    const other = await attach(stage.call(plane, 'pages-userptr', scattered(5, 3, 9)));
    assert.notEqual(place(other).region, place(first).region);
    assert.equal(
      stage.open.length,
      2,
      'the old mapping must be there while the new one is made: else the same address',
    );
    other.settle!(0);
    assert.deepEqual(
      stage.open.map(({ linear: mapping }) => mapping),
      [place(other).region],
    );
  });

  it('a piece that crosses memory regions is joined over both', async () => {
    const next = privateRam(2 * PAGE);
    stage.bench.memory.add(
      { guestAddress: GUEST + RAM, size: 2 * PAGE, userAddress: 2 ** 40, fileOffset: 0 },
      next,
    );
    const entries: Entry[] = [[GUEST + RAM - PAGE, LENGTH]];
    const crossing = await stage.taken(held(), 'pages-userptr', entries);
    assert.deepEqual([place(crossing).length, stage.open.length], [LENGTH, 1]);
    const beyond: Entry[] = [[GUEST + RAM + PAGE, LENGTH]];
    assert.equal(
      await sharedPages.attach(stage.call(held(), 'pages-userptr', beyond)),
      failure(Errno.EFAULT),
    );
  });

  it('a list that the kernel refuses is forgotten, the one before it stays', async () => {
    const plane = held();
    const first = await stage.taken(plane, 'pages-userptr', scattered(5, 2, 9));
    (await attach(stage.call(plane, 'pages-userptr', scattered(1, 2, 3)))).settle!(Errno.EINVAL);
    assert.deepEqual(
      stage.open.map(({ linear: mapping }) => mapping),
      [place(first).region],
    );
    (await attach(stage.call(plane, 'pages-userptr', scattered(5, 2, 9)))).settle!(Errno.EINVAL);
    assert.equal(stage.open.length, 1);
  });

  it('a prepared buffer takes no other list', async () => {
    const plane = held();
    const first = await stage.taken(plane, 'pages-userptr', scattered(5, 2, 9), { nr: PREPARE_BUF });
    assert.equal(plane.isPrepared, true);
    const queued = await attach(stage.call(plane, 'pages-userptr', []));
    assert.equal(place(queued).region, place(first).region);
    queued.settle!(0);
    assert.equal(plane.isPrepared, false);
  });

  it("every answer has the program's pointer and length", async () => {
    const plane = held();
    const given = stage.call(plane, 'pages-copy', scattered(1, 2, 3), { length: LENGTH });
    (await attach(given)).settle!(0);
    for (const nr of [QBUF, QUERYBUF]) {
      const [record] = sharedPages.restore({ ...given, nr }, answer(0));
      const bytes = Buffer.from(record!);
      assert.equal(bytes.subarray(64, 72).toString('hex'), USERPTR);
      assert.deepEqual([bytes.readUInt32LE(60), bytes.readUInt32LE(72)], [2, LENGTH]);
    }
  });

  it('QUERYBUF looks at no list, and before the first QBUF gives back what it was given', async () => {
    const given = stage.call(held(), 'pages-userptr', [], { nr: QUERYBUF });
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
          await sharedPages.attach(stage.call(held(), backing, entries, { length })),
          failure(errno),
          what,
        );
    assert.equal(stage.open.length, 0);
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
      const given = stage.call(buffer, 'pages-userptr', entries, { type: CAPTURE_MPLANE });
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
        assert.deepEqual([stage.made, stage.open.length, stage.session.lists.used], [0, 0, 0]);
      });

    it('a second plane whose pages are nowhere takes the mapping of the first with it, however often', async () => {
      const given = callOf(planes(2 * PAGE), [2 * PAGE, 2 * PAGE], [2, 2]);
      given.guest.rest.writeBigUInt64LE(BigInt(GUEST - PAGE), 48);
      const maps = () => readFileSync('/proc/self/maps', 'latin1').split('\n').length;
      const before = maps();
      for (let n = 0; n < 100; n++) assert.equal(await sharedPages.attach(given), failure(Errno.EFAULT));
      assert.deepEqual([stage.made, stage.open.length, stage.session.lists.used], [100, 0, 0]);
      assert.ok(maps() - before < 100, 'mappings are left');
    });

    it('the mapping that a plane has already stays where another plane is refused', async () => {
      const buffer = planes(2 * PAGE);
      const good = callOf(buffer, [2 * PAGE, 2 * PAGE], [2, 2]);
      (await attach(good)).settle!(0);
      const bad = callOf(buffer, [2 * PAGE, 2 * PAGE], [2, 2]);
      bad.guest.rest.writeBigUInt64LE(BigInt(GUEST - PAGE), 48);
      assert.equal(await sharedPages.attach(bad), failure(Errno.EFAULT));
      assert.equal(stage.open.length, 2);
      (await attach(good)).settle!(0);
      assert.equal(stage.made, 2, 'the same lists again: the same mappings');
    });
  });

  it('SG lists are counted while a plane has them, 16 bytes a piece; one too many is ENOMEM', async () => {
    const [pieces, length] = [32_768, 32_768];
    const many = Array.from({ length: pieces }, (_, n): Entry => [BASE + 2 * n, 1]);
    const most = MAX_SESSION_LIST_BYTES / (16 * pieces);
    const buffers = Array.from({ length: most + 1 }, () => held(length));
    for (const each of buffers.slice(0, most)) await stage.taken(each, 'pages-copy', many, { length });
    assert.equal(stage.session.lists.used, MAX_SESSION_LIST_BYTES);
    const given = stage.call(buffers[most]!, 'pages-copy', many, { length });
    assert.equal(await sharedPages.attach(given), failure(Errno.ENOMEM));
    const again = stage.call(buffers[0]!, 'pages-copy', many, { length });
    (await attach(again)).settle!(0);
    assert.equal(stage.session.lists.used, MAX_SESSION_LIST_BYTES, 'the same list is kept once');
    buffers[0]!.planes[0]!.pages!.memory.release();
    (await attach(given)).settle!(0);
    assert.equal(stage.session.lists.used, MAX_SESSION_LIST_BYTES);
  });
});
