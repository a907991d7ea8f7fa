/** A limit for work that a driver may keep for ever. */
import pTimeout from 'p-timeout';
import { Errno } from '../errno.js';

/** The result of `work`, or ETIMEDOUT after `milliseconds`. The work itself goes on. */
export function within(milliseconds: number, work: Promise<number>): Promise<number> {
  return pTimeout(work, { milliseconds, fallback: () => Errno.ETIMEDOUT });
}
