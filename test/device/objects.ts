/** Which objects of sessions and connections are alive in this process: what a descriptor count does not see of a leak. */
import { queryObjects } from 'node:v8';
import { Session } from '../../src/media/session.js';
import { native } from '../../src/native.js';
import { OpenFile } from '../../src/v4l2/node.js';
import { Backend } from '../../src/vhost-user/backend.js';

/** Each knows many others: a connection its rings and guest memory, a session its queues and buffers. */
const kinds = { Backend, Session, OpenFile, NodeFile: native.NodeFile };

/** How many, by class. */
export type Alive = Readonly<Record<keyof typeof kinds, number>>;

/** For node: v8.queryObjects() is experimental, and says so on standard error. */
export const QUIETLY = '--disable-warning=ExperimentalWarning';

/** V8 collects all garbage before it counts. */
export function objectsAlive(): Alive {
  const counts = Object.entries(kinds).map(([name, kind]) => [name, queryObjects(kind, { format: 'count' })]);
  return Object.fromEntries(counts) as Alive;
}

/** Whether there are no more of any than there were. */
export function nothingLeft(before: Alive, now: Alive): boolean {
  return Object.keys(kinds).every((name) => now[name as keyof Alive] <= before[name as keyof Alive]);
}
