/**
 * Which objects of sessions and connections this process still knows though they are closed: what a descriptor count
 * does not see of a leak. Counted from the import of this file on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Session } from '../../../src/media/session.js';
import { native } from '../../../src/native.js';
import { OpenFile } from '../../../src/v4l2/node.js';
import { Connection } from '../../../src/vhost-user/connection.js';
import { collectGarbage as collect } from '../../addon/garbage.js';

/** Deadlines of the last commands may know their sessions. */
const FORGET_MS = 6000;

/** Each is known to many others: a connection to its back-end, a session to its queues and buffers. */
const kinds = { Connection, Session, OpenFile, NodeFile: class extends native.NodeFile {} };
export type Kind = keyof typeof kinds;

/** How many, by class. */
export type Known = Readonly<Record<Kind, number>>;

const known: Record<Kind, number> = { Connection: 0, Session: 0, OpenFile: 0, NodeFile: 0 };
const counted = new WeakSet<object>();
const collected = new FinalizationRegistry<Kind>((kind) => {
  known[kind]--;
});

/** The object is counted when it is closed, and no more when V8 has collected it. */
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
// A method of the addon cannot be replaced, that of a class above it can.
native.NodeFile = kinds.NodeFile;

/** Collects all garbage: twice, with a turn between, as what a finalizer lets go of is freed by the second. */
export async function collectGarbage(): Promise<void> {
  for (let i = 0; i < 2; i++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** What is known with all garbage gone. */
export async function closedButKnown(): Promise<Known> {
  await collectGarbage();
  return { ...known };
}

/** Waits until no more than `most` of any class are known. Throws where they stay. */
export async function untilForgotten(most: number): Promise<void> {
  const limit = performance.now() + FORGET_MS;
  for (;;) {
    const known = await closedButKnown();
    if (Object.values(known).every((count) => count <= most)) return;
    if (performance.now() > limit) throw new Error(`closed, but known: ${JSON.stringify(known)}`);
    await sleep(100);
  }
}
