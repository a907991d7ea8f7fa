/** Memory type SHARED_PAGES where the pages are not joined: frames are copied. The guest's memory is real. */
import assert from 'node:assert/strict';
import { MAX_LINEAR_PIECES } from '../../../src/media/policy.js';
import { privateRegion } from '../../../src/virtio/memory-file.js';
import { Price, TURN_BYTES } from '../../../src/virtio/turn.js';
import {
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
} from './support/pages-suite.js';

const OUTPUT = 2;

describe('copies of guest pages', () => {
  let stage: PagesStage;
  pagesSuite((made) => {
    stage = made;
  });

  /** A queued buffer whose SG list has a piece for each byte, and its memory of the host. */
  async function ofManyPieces() {
    const length = 65_529;
    const many = Array.from({ length }, (_, n): Entry => [BASE + 2 * n, 1]);
    const region = privateRegion('a host buffer, say', length);
    const plane = held(length, region);
    await stage.taken(plane, 'pages-copy', many, { length });
    return { length, region, plane };
  }

  it('pieces that end inside a page are carried: private memory of the size of the plane, and a copy', async () => {
    const plane = held();
    const entries: Entry[] = [
      [BASE + 10, 1000],
      [BASE + 0x8000, LENGTH - 1000],
    ];
    const attached = await attach(stage.call(plane, 'pages-userptr', entries));
    assert.equal(stage.open.length, 0);
    assert.deepEqual([place(attached).offset, place(attached).length], [0, LENGTH]);
    attached.settle!(0);
    const region = plane.planes[0]!.host!;
    Buffer.from(region.windows[0]!).fill(0x5a);
    await stage.returned(plane, 'pages-userptr', LENGTH);
    assert.ok(stage.bench.seen(10, 1000).every((byte) => byte === 0x5a));
    assert.ok(stage.bench.seen(0x8000, LENGTH - 1000).every((byte) => byte === 0x5a));
    assert.ok(stage.bench.seen(0, 10).every((byte) => byte === 0));
    assert.equal(stage.bench.seen(1010, 1)[0], 0);
    region.close();
  });

  it('carried, a frame to put out is read before QBUF, and not before PREPARE_BUF', async () => {
    const region = privateRegion('a host buffer, say', LENGTH);
    const plane = held(LENGTH, region);
    stage.bench.put(5 * PAGE, Buffer.alloc(PAGE, 0x77));
    const at = () => Buffer.from(region.windows[0]!)[0];
    const given = stage.call(plane, 'pages-copy', scattered(5, 2, 9), { nr: PREPARE_BUF, type: OUTPUT });
    (await attach(given)).settle!(0);
    assert.equal(at(), 0);
    (await attach({ ...given, nr: QBUF, request: 0 })).settle!(0);
    assert.equal(at(), 0x77);
    region.close();
  });

  it('more pieces than the kernel should keep mappings for are carried', async () => {
    const pages = MAX_LINEAR_PIECES / 64 + 1;
    const many = Array.from({ length: pages }, (_, n): Entry => [BASE + ((2 * n) % 1000) * PAGE, PAGE]);
    const length = pages * PAGE;
    const buffers = Array.from({ length: 64 }, () => held(length));
    for (const each of buffers) await stage.taken(each, 'pages-userptr', many, { length });
    assert.equal(stage.open.length, 63);
    assert.ok(buffers.at(-1)!.planes[0]!.host);
    stage.open[0]!.close();
    await stage.taken(buffers.at(-1)!, 'pages-userptr', many, { length });
    assert.equal(stage.open.length, 63, 'what was given back can be had again');
    buffers.at(-1)!.planes[0]!.host!.close();
  });

  it('a frame of many pieces is copied in as many steps, over turns of the loop', async () => {
    const { length, region, plane } = await ofManyPieces();
    Buffer.from(region.windows[0]!).fill(0x5a);
    let steps = 0;
    const { copyIn } = stage.bench.memory;
    stage.bench.memory.copyIn = (...given) => {
      steps++;
      copyIn.apply(stage.bench.memory, given);
    };
    let turns = 0;
    const next = stage.session.context.turn.next.bind(stage.session.context.turn);
    stage.session.context.turn.next = () => {
      turns++;
      return next();
    };
    await stage.returned(plane, 'pages-copy', length);
    assert.equal(steps, length);
    assert.ok(turns >= length / (TURN_BYTES / Price.PIECE) - 1, `${turns} turns`);
    const seen = stage.bench.seen(0, 2 * length);
    assert.ok(seen.every((byte, n) => byte === (n % 2 ? 0 : 0x5a)));
    region.close();
  });

  it('a copy ends with its session: nothing is written to pages after CLOSE', async () => {
    const { length, region, plane } = await ofManyPieces();
    const copying = stage.returned(plane, 'pages-copy', length);
    Object.assign(stage.session, { closing: true });
    region.close();
    let writes = 0;
    stage.bench.memory.copyIn = () => {
      writes++;
    };
    await copying;
    assert.equal(writes, 0);
  });
});
