/** A DMABUF of a node, made without the daemon. */
import assert from 'node:assert/strict';
import { native } from '../../../src/native.js';
import { close, open, submit } from '../../addon/support/node-file.js';
import { record } from './bytes.js';

/** VIDIOC_REQBUFS, VIDIOC_EXPBUF. */
const REQBUFS = 8;
const EXPBUF = 16;

/** Exports one buffer of a queue and closes the node. The descriptor stays valid. */
export async function exportBuffer(node: string, type = 1): Promise<number> {
  const file = new native.NodeFile(() => undefined);
  const ioctl = async (nr: number, payload: Buffer) =>
    assert.equal(await submit(file, { kind: 'ioctl', nr, payload }), 0, `ioctl ${nr}`);
  assert.equal(await open(file, node), 0, node);
  try {
    await ioctl(REQBUFS, record(20, { 0: 1, 4: type, 8: 1 }));
    const O_RDWR = 2;
    const exported = record(64, { 0: type, 12: O_RDWR });
    await ioctl(EXPBUF, exported);
    return exported.readInt32LE(16);
  } finally {
    await close(file);
  }
}
