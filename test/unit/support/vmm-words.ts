/** Holds the command lines of VMMs in the docs to the options that `serve` prints. */
import assert from 'node:assert/strict';
import { split } from 'shlex';
import { vmmOptions } from '../../../src/cli/vmm-options.js';

/** The value of an option in a list of its values (`a=b,c=d`). */
const property = (value: string, name: string): string | undefined =>
  value
    .split(',')
    .find((each) => each.startsWith(`${name}=`))
    ?.slice(name.length + 1);

/** The words behind each `option`. */
const valuesBehind = (words: readonly string[], option: string): string[] =>
  words.flatMap((word, at) => (word === option ? [words[at + 1] ?? ''] : []));

/** What `serve` would print for these sockets, as words. */
const printed = (sockets: readonly string[]): string[] =>
  split(vmmOptions(sockets.map((path) => ({ device: '/dev/null', socket: { path } }))));

/** The QEMU words that belong to us are those that `serve` prints. Returns the sockets. */
export function assertQemu(words: readonly string[]): string[] {
  const chardevs = valuesBehind(words, '-chardev');
  const devices = valuesBehind(words, '-device').filter((device) =>
    device.startsWith('vhost-user-media-pci'),
  );
  const sockets = chardevs.map((chardev) => property(chardev, 'path')!);
  const own = printed(sockets);
  assert.ok(sockets.length > 0);
  assert.deepEqual(chardevs, valuesBehind(own, '-chardev'));
  assert.deepEqual(devices, valuesBehind(own, '-device'));
  return sockets;
}

/** The memory of a QEMU on a command line of its own is shared, and its two sizes are equal. */
export function assertMemory(words: readonly string[]): void {
  const [object = ''] = valuesBehind(words, '-object');
  const [size] = valuesBehind(words, '-m');
  assert.ok(object.startsWith('memory-backend-memfd,'));
  assert.deepEqual([property(object, 'size'), property(object, 'share')], [size, 'on']);
  const [machine] = valuesBehind(words, '-machine');
  assert.equal(property(machine!, 'memory-backend'), property(object, 'id'));
}

export function assertCrosvm(words: readonly string[]): string[] {
  const values = valuesBehind(words, '--vhost-user');
  const sockets = values.map((value) => property(value, 'socket')!);
  assert.deepEqual(values, valuesBehind(printed(sockets), '--vhost-user'));
  return sockets;
}
