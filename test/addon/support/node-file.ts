/** The calls of a NodeFile as promises. */
import assert from 'node:assert/strict';
import { type NodeFile, native } from '../../../src/native.js';

/** Resolves to an errno. */
export const open = (file: NodeFile, path = '/dev/null'): Promise<number> =>
  new Promise((resolve) => file.open(path, resolve));

/**
 * Runs the call on the lane. Resolves to its errno, and rejects with what submit() throws. `unknown`: the tests also
 * pass values that the type does not allow.
 */
export const submit = (file: NodeFile, call: unknown): Promise<number> =>
  new Promise((resolve) => file.submit(call as never, resolve));

export const close = (file: NodeFile): Promise<void> => new Promise((resolve) => file.close(resolve));

/** An open file of /dev/null: it gets every V4L2 ioctl and answers ENOTTY. */
export async function openNull(): Promise<NodeFile> {
  const file = new native.NodeFile(() => undefined);
  assert.equal(await open(file), 0);
  return file;
}
