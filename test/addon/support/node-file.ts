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

/** Adds a hook to a suite: what the returned function has made is closed after the test. */
export function fileMaker(): (onReady?: (events: number) => void) => NodeFile {
  const files: NodeFile[] = [];
  afterEach(async () => {
    for (const file of files.splice(0)) await close(file);
  });
  return (onReady = () => undefined) => {
    const file = new native.NodeFile(onReady);
    files.push(file);
    return file;
  };
}
