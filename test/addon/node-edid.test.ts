import assert from 'node:assert/strict';
import { type NodeFile, native } from '../../src/native.js';
import { edidRecord, openNull, u32, u64 } from './support/records.js';

const EBADF = 9;
const EINVAL = 22;
const ENOTTY = 25;
const G_EDID = 40;
const S_EDID = 41;

describe('addon: node calls on EDID', () => {
  let file: NodeFile;
  // `unknown`, because the tests also pass values that the type does not allow.
  const run = (call: unknown): number => file.run(call as never);
  const edid = (count: number, length = count * 128, nr = G_EDID): number =>
    run({ kind: 'edid', nr, edid: edidRecord(count), blocks: new Uint8Array(length) });

  beforeEach(async () => {
    file = await openNull();
  });
  afterEach(() => new Promise<void>((resolve) => file.close(resolve)));

  it('is one of two', () => {
    for (const nr of [G_EDID, S_EDID]) assert.equal(edid(1, 128, nr), ENOTTY);
    for (const nr of [0, 39, 42, -1, 1.5]) assert.equal(edid(1, 128, nr), EINVAL);
    const call = { kind: 'ioctl', nr: G_EDID, payload: edidRecord(0) };
    assert.equal(run(call), ENOTTY, 'and none of the pointer-free ones');
  });

  it('has as many bytes as its blocks, and no more than 256 blocks', () => {
    for (const count of [0, 1, 2, 255, 256]) {
      assert.equal(edid(count), ENOTTY);
      for (const by of [-128, -1, 1, 128]) {
        if (count * 128 + by >= 0) assert.equal(edid(count, count * 128 + by), EINVAL);
      }
    }
    assert.equal(edid(257), EINVAL);
    assert.equal(edid(2 ** 25, 0), EINVAL, '2 ** 32 bytes');
    assert.equal(edid(2 ** 25 + 1, 128), EINVAL);
    assert.equal(edid(2 ** 32 - 1, 0), EINVAL);
  });

  it('takes 40 bytes', () => {
    for (const length of [0, 39, 41]) {
      const blocks = new Uint8Array(0);
      assert.equal(run({ kind: 'edid', nr: G_EDID, edid: new Uint8Array(length), blocks }), EINVAL);
    }
    assert.equal(run({ kind: 'edid', nr: G_EDID, edid: edidRecord(0) }), EINVAL);
    assert.equal(run({ kind: 'edid', nr: G_EDID, blocks: new Uint8Array(0) }), EINVAL);
    for (const blocks of [null, 'blocks', [], new Uint16Array(64), new ArrayBuffer(128)]) {
      assert.equal(run({ kind: 'edid', nr: S_EDID, edid: edidRecord(1), blocks }), EINVAL);
    }
  });

  it("keeps the caller's pointer, and blocks", async () => {
    const record = edidRecord(2, 1);
    const blocks = new Uint8Array(256).fill(0x5a);
    const call = { kind: 'edid', nr: S_EDID, edid: record, blocks } as const;
    assert.equal(file.run(call), ENOTTY);
    assert.equal(await new Promise((resolve) => file.submit(call, resolve)), ENOTTY);
    assert.deepEqual(record, edidRecord(2, 1));
    assert.equal(u64(record, 32), 0x1122334455667788n);
    assert.equal(u32(record, 8), 2);
    assert.ok(blocks.every((byte) => byte === 0x5a));
  });

  it('is for an open file', () => {
    const closed = new native.NodeFile(() => undefined);
    const blocks = new Uint8Array(128);
    assert.equal(closed.run({ kind: 'edid', nr: G_EDID, edid: edidRecord(1), blocks }), EBADF);
  });

  it('survives blocks that are detached meanwhile', async () => {
    const blocks = new Uint8Array(128);
    const done = new Promise((resolve) =>
      file.submit({ kind: 'edid', nr: G_EDID, edid: edidRecord(1), blocks }, resolve),
    );
    structuredClone(blocks.buffer, { transfer: [blocks.buffer] });
    assert.equal(await done, ENOTTY);
  });
});
