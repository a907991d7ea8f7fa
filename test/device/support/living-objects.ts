/**
 * Objects of sessions and connections that are closed but not yet collected by V8: a leak that a count of descriptors
 * does not show. They are counted from the import of this file on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Session } from '../../../src/media/session.js';
import { native } from '../../../src/native.js';
import { OpenFile } from '../../../src/v4l2/node.js';
import { Connection } from '../../../src/vhost-user/connection.js';
import { collectGarbage as collect } from '../../addon/support/garbage.js';

/** Milliseconds. The deadlines of the last commands still refer to their sessions for that long. */
const FORGET_MS = 6000;

/** Each class is referred to by many others: a connection by its back-end, a session by its queues and buffers. */
const kinds = { Connection, Session, OpenFile, NodeFile: class extends native.NodeFile {} };
export type Kind = keyof typeof kinds;

/** Number of closed objects that are not collected, by class. */
export type Known = Readonly<Record<Kind, number>>;

const known: Record<Kind, number> = { Connection: 0, Session: 0, OpenFile: 0, NodeFile: 0 };
const counted = new WeakSet<object>();
const collected = new FinalizationRegistry<Kind>((kind) => {
  known[kind]--;
});

/** Counts each object when it is closed, until V8 has collected it. */
function count(kind: Kind): void {
  const prototype = kinds[kind].prototype as { close(...how: unknown[]): unknown };
  const { close } = prototype;
  Object.defineProperty(prototype, 'close', {
    value: function (this: object, ...how: unknown[]) {
      if (!counted.has(this)) {
        counted.add(this);
        collected.register(this, kind);
        known[kind]++;
      }
      return close.apply(this, how);
    },
  });
}

for (const kind of Object.keys(kinds) as Kind[]) count(kind);
// A method of an addon's class cannot be replaced; one of a derived class can.
native.NodeFile = kinds.NodeFile;

/**
 * Collects all garbage. It collects twice, with a turn between, because the second run frees what finalizers have
 * released.
 */
export async function collectGarbage(): Promise<void> {
  for (let i = 0; i < 2; i++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The number of closed objects after garbage collection. */
export async function closedButKnown(): Promise<Known> {
  await collectGarbage();
  return { ...known };
}

/** Waits until no class has more than `most` closed objects. Throws if that does not happen within FORGET_MS. */
export async function untilForgotten(most: number): Promise<void> {
  const limit = performance.now() + FORGET_MS;
  for (;;) {
    const known = await closedButKnown();
    if (Object.values(known).every((count) => count <= most)) return;
    if (performance.now() > limit) throw new Error(`closed, but known: ${JSON.stringify(known)}`);
    await sleep(100);
  }
}
