/** The native parts of the bench. `make` builds them, and only what has changed. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { UsageError } from './options.js';

export const checkout = fileURLToPath(new URL('../../..', import.meta.url));
const built = `${checkout}build/bench`;

export const parts = {
  /** Becomes a program: native/launch.c. */
  launch: `${built}/launch`,
  /** The program that measures: native/lat.c. */
  lat: `${built}/lat`,
  /** The V4L2 node, a library for the back-end: native/fake_node.h. */
  fakeNode: `${built}/fakenode.so`,
  /** The guest, a library for lat: test/preload. */
  guest: `${built}/libv4l2-node.so`,
  /** The program that is measured. */
  daemon: `${checkout}dist/bin/cli.js`,
} as const;

/** Two benches that start together build one after the other. Throws a UsageError with the compiler's words. */
export function buildParts(): void {
  mkdirSync(built, { recursive: true });
  const make = ['make', '--silent', '-j2', '-C', `${checkout}test/bench/native`];
  const { status, stderr, error } = spawnSync('flock', [`${built}/lock`, ...make], { encoding: 'utf8' });
  if (status === 0) return;
  const reason = error?.message ?? stderr.trim().split('\n').slice(-20).join('\n');
  throw new UsageError(`the native parts cannot be built (gcc, g++ and make are needed):\n${reason}`);
}
