/** Times by magnitude, as the addon counts them (addon/histogram.h). */

/** `counts`: one for each bucket. `sum`: microseconds of all. */
export interface Times {
  readonly counts: readonly number[];
  readonly sum: number;
}

/** How many times were counted. */
export const totalOf = ({ counts }: Times): number => counts.reduce((total, count) => total + count, 0);

/** Both together. */
export function addTimes(left: Times, right: Times): Times {
  const counts = right.counts.map((count, bucket) => count + (left.counts[bucket] ?? 0));
  return { counts, sum: left.sum + right.sum };
}

/**
 * The microseconds that a share `q` of all times (0 to 1) did not exceed: a point between the bounds of a bucket, as if
 * its times were spread evenly. `bounds`: of the buckets, ascending, in microseconds. null: there are no times.
 */
export function quantile(times: Times, bounds: readonly number[], q: number): number | null {
  const rank = q * totalOf(times);
  let below = 0;
  for (const [bucket, count] of times.counts.entries()) {
    if (count > 0 && below + count >= rank) {
      const from = bounds[bucket - 1] ?? 0;
      const to = Number.isFinite(bounds[bucket]) ? bounds[bucket]! : from;
      return from + ((to - from) * (rank - below)) / count;
    }
    below += count;
  }
  return null;
}

/** How many times are below each limit. `limits`: bounds of buckets, in microseconds. */
export function cumulated({ counts }: Times, bounds: readonly number[], limits: readonly number[]): number[] {
  return limits.map((limit) =>
    counts.reduce((total, count, bucket) => (bounds[bucket]! <= limit ? total + count : total), 0),
  );
}
