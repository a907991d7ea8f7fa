/** EDID and the hardware seek of a tuner on a real driver, through the addon alone. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type NodeFile, native } from '../../src/native.js';
import { close, open, submit } from '../addon/support/node-file.js';
import { descriptorsOn } from '../addon/support/process.js';
import { edidRecord, u32, u64 } from '../addon/support/records.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { NativeNode } from './support/native-node.js';

const EINVAL = 22;
const ENODATA = 61;
const G_EDID = 40;
const S_EDID = 41;
/** Webcam, TV, S-Video, HDMI: the order of vivid. */
const HDMI = 3;
const BLOCK = 128;

const vivid = 'vivid n_devs=1 node_types=0x11';

describe('lab: inputs through the raw addon', function () {
  this.timeout(30_000);
  before(function () {
    provide(this, vivid);
  });
  after(() => unload(vivid));

  describe('EDID', () => {
    let node: NativeNode;
    beforeEach(async () => {
      node = await NativeNode.open(nodeNamed('vivid-000-vid-cap'));
    });
    afterEach(() => node.close());

    async function edid(nr: number, startBlock: number, blocks: Uint8Array, input = HDMI) {
      const record = edidRecord(blocks.length / BLOCK, startBlock);
      new DataView(record.buffer).setUint32(0, input, true);
      const errno = await node.submit({ kind: 'edid', nr, edid: record, blocks });
      assert.equal(u64(record, 32), 0x1122334455667788n, "the pointer is the caller's");
      return { errno, blocks: u32(record, 8), startBlock: u32(record, 4) };
    }

    it('is read: how many blocks, all of them, one of them', async () => {
      assert.deepEqual(await edid(G_EDID, 0, new Uint8Array(0)), { errno: 0, blocks: 2, startBlock: 0 });
      const whole = new Uint8Array(2 * BLOCK);
      assert.deepEqual(await edid(G_EDID, 0, whole), { errno: 0, blocks: 2, startBlock: 0 });
      assert.deepEqual([...whole.subarray(0, 8)], [0, 255, 255, 255, 255, 255, 255, 0]);
      for (const start of [0, BLOCK]) {
        const sum = whole.subarray(start, start + BLOCK).reduce((a, b) => a + b, 0);
        assert.equal(sum % 256, 0, `the checksum of block ${start / BLOCK}`);
      }
      const second = new Uint8Array(BLOCK);
      assert.deepEqual(await edid(G_EDID, 1, second), { errno: 0, blocks: 1, startBlock: 1 });
      assert.deepEqual(second, whole.subarray(BLOCK));
    });

    it('is smaller than what was asked for: the record says so, and the rest is left alone', async () => {
      const much = new Uint8Array(256 * BLOCK).fill(0xaa);
      assert.deepEqual(await edid(G_EDID, 0, much), { errno: 0, blocks: 2, startBlock: 0 });
      assert.equal(much[1], 0xff);
      assert.ok(much.subarray(2 * BLOCK).every((byte) => byte === 0xaa));
    });

    it('is written, cleared, and written back', async () => {
      const original = new Uint8Array(2 * BLOCK);
      await edid(G_EDID, 0, original);
      const other = Uint8Array.from(original);
      other[12] = (other[12]! + 1) & 255;
      other[BLOCK - 1] = (other[BLOCK - 1]! - 1) & 255;
      assert.deepEqual(await edid(S_EDID, 0, other), { errno: 0, blocks: 2, startBlock: 0 });
      const read = new Uint8Array(2 * BLOCK);
      await edid(G_EDID, 0, read);
      assert.deepEqual(read, other);
      assert.equal((await edid(S_EDID, 0, new Uint8Array(0))).errno, 0);
      assert.equal((await edid(G_EDID, 0, read)).errno, ENODATA);
      assert.deepEqual(await edid(G_EDID, 0, new Uint8Array(0)), { errno: 0, blocks: 0, startBlock: 0 });
      assert.equal((await edid(S_EDID, 0, original)).errno, 0);
      await edid(G_EDID, 0, read);
      assert.deepEqual(read, original);
    });

    it('is refused by the driver: record and blocks come back', async () => {
      const blocks = new Uint8Array(BLOCK).fill(0x5a);
      assert.deepEqual(await edid(G_EDID, 9, blocks), { errno: EINVAL, blocks: 1, startBlock: 9 });
      assert.equal((await edid(G_EDID, 0, blocks, 0)).errno, EINVAL, 'a webcam has none');
      assert.equal((await edid(S_EDID, 1, blocks)).errno, EINVAL, 'a start block is for reading');
      assert.ok(blocks.every((byte) => byte === 0x5a));
    });
  });

  describe('hardware seek', () => {
    const RADIO = 1;
    const MHZ = 16_000;
    let file: NodeFile;
    let path: string;

    beforeEach(async () => {
      path = nodeNamed('vivid-000-rad-rx');
      file = new native.NodeFile(() => undefined);
      assert.equal(await open(file, path), 0);
    });
    afterEach(() => close(file));

    const words = (size: number, ...values: number[]): Uint8Array => {
      const bytes = new Uint8Array(size);
      new Uint32Array(bytes.buffer).set(values);
      return bytes;
    };
    const ioctl = (nr: number, payload: Uint8Array) => submit(file, { kind: 'ioctl', nr, payload });
    const seek = (payload: Uint8Array): Promise<number> => ioctl(82, payload);
    const isNonBlocking = (): boolean => {
      const [fd] = descriptorsOn(path);
      const flags = /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))![1]!;
      return (Number.parseInt(flags, 8) & 0o4000) !== 0;
    };

    // vivid searches for a station, but does not change its frequency, whether it finds one or not.
    it('is carried out, although the file is non-blocking', async () => {
      for (const [megahertz, found] of [
        [100, 0],
        [108, ENODATA],
      ] as const) {
        assert.equal(await ioctl(57, words(44, 0, RADIO, megahertz * MHZ)), 0);
        assert.equal(await seek(words(48, 0, RADIO, 1)), found);
        assert.ok(isNonBlocking());
      }
    });

    it('leaves the file non-blocking where the driver refuses', async () => {
      assert.equal(await seek(words(48, 7, RADIO, 1)), EINVAL);
      assert.ok(isNonBlocking());
    });
  });
});
