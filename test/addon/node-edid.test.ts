import assert from 'node:assert/strict';
import { type NodeFile, native } from '../../src/native.js';
import { close, openNull, submit } from './support/node-file.js';
import { edidRecord, u32, u64 } from './support/records.js';

const EBADF = 9;
const EINVAL = 22;
const ENOTTY = 25;
const G_EDID = 40;
const S_EDID = 41;

describe('addon: node calls on EDID', () => {
  let file: NodeFile;
  const run = (call: unknown): Promise<number> => submit(file, call);
  const edid = (count: number, length = count * 128, nr = G_EDID): Promise<number> =>
    run({ kind: 'edid', nr, edid: edidRecord(count), blocks: new Uint8Array(length) });

  beforeEach(async () => {
    file = await openNull();
  });
  afterEach(() => close(file));

  it('is one of two', async () => {
    for (const nr of [G_EDID, S_EDID]) assert.equal(await edid(1, 128, nr), ENOTTY);
    for (const nr of [0, 39, 42, -1, 1.5]) assert.equal(await edid(1, 128, nr), EINVAL);
    const call = { kind: 'ioctl', nr: G_EDID, payload: edidRecord(0) };
    assert.equal(await run(call), ENOTTY, 'and none of the pointer-free ones');
  });

  it('has as many bytes as its blocks, and no more than 256 blocks', async () => {
    for (const count of [0, 1, 2, 255, 256]) {
      assert.equal(await edid(count), ENOTTY);
      for (const by of [-128, -1, 1, 128]) {
        if (count * 128 + by >= 0) assert.equal(await edid(count, count * 128 + by), EINVAL);
      }
    }
    assert.equal(await edid(257), EINVAL);
    assert.equal(await edid(2 ** 25, 0), EINVAL, '2 ** 32 bytes');
    assert.equal(await edid(2 ** 25 + 1, 128), EINVAL);
    assert.equal(await edid(2 ** 32 - 1, 0), EINVAL);
  });

  it('takes 40 bytes', async () => {
    for (const length of [0, 39, 41]) {
      const blocks = new Uint8Array(0);
      assert.equal(await run({ kind: 'edid', nr: G_EDID, edid: new Uint8Array(length), blocks }), EINVAL);
    }
    assert.equal(await run({ kind: 'edid', nr: G_EDID, edid: edidRecord(0) }), EINVAL);
    assert.equal(await run({ kind: 'edid', nr: G_EDID, blocks: new Uint8Array(0) }), EINVAL);
    for (const blocks of [null, 'blocks', [], new Uint16Array(64), new ArrayBuffer(128)]) {
      assert.equal(await run({ kind: 'edid', nr: S_EDID, edid: edidRecord(1), blocks }), EINVAL);
    }
  });

  it("keeps the caller's pointer, and blocks", async () => {
    const record = edidRecord(2, 1);
    const blocks = new Uint8Array(256).fill(0x5a);
    const call = { kind: 'edid', nr: S_EDID, edid: record, blocks } as const;
    assert.equal(await run(call), ENOTTY);
    assert.deepEqual(record, edidRecord(2, 1));
    assert.equal(u64(record, 32), 0x1122334455667788n);
    assert.equal(u32(record, 8), 2);
    assert.ok(blocks.every((byte) => byte === 0x5a));
  });

  it('is for an open file', async () => {
    const closed = new native.NodeFile(() => undefined);
    const blocks = new Uint8Array(128);
    assert.equal(await submit(closed, { kind: 'edid', nr: G_EDID, edid: edidRecord(1), blocks }), EBADF);
  });

  it('survives blocks that are detached meanwhile', async () => {
    const blocks = new Uint8Array(128);
    const done = run({ kind: 'edid', nr: G_EDID, edid: edidRecord(1), blocks });
    structuredClone(blocks.buffer, { transfer: [blocks.buffer] });
    assert.equal(await done, ENOTTY);
  });
});
