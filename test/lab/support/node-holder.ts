/**
 * Another program of the host, which blocks a converter's node: it gives vim2m a job of some milliseconds and closes
 * its file. The driver waits for the job with the node's lock taken, so every call on the node waits too.
 *
 * Arguments: the node, milliseconds. Prints "holds" before it closes the file, and ends afterwards.
 */
import assert from 'node:assert/strict';
import { encoded } from '../../../src/struct.js';
import { Ioctl } from '../../../src/v4l2/ioctls.js';
import { BufferType, buffer, Memory, streamType } from '../../../src/v4l2/layout.js';
import { NativeNode } from './native-node.js';

/** vim2m's "Transaction Time (msec)", set for each open file. */
const TRANSACTION_TIME = 0x0098_1900;
const [, , path, milliseconds] = process.argv;

const node = await NativeNode.open(path!);
await node.setControl(TRANSACTION_TIME, Number(milliseconds));
for (const type of [BufferType.VIDEO_OUTPUT, BufferType.VIDEO_CAPTURE]) {
  assert.equal(await node.request(1, type), 0);
  const record = encoded(buffer, { type, memory: Memory.MMAP });
  assert.equal(await node.submit({ kind: 'buffer', nr: 9, buffer: record }), 0);
  const { length } = buffer.read(record);
  const queued = encoded(buffer, { type, memory: Memory.MMAP, bytesused: length, length });
  assert.equal(await node.submit({ kind: 'buffer', nr: Ioctl.QBUF, buffer: queued }), 0);
  assert.equal((await node.ioctl(Ioctl.STREAMON, streamType.encode({ type }))).errno, 0);
}
process.stdout.write('holds\n');
await node.close();
