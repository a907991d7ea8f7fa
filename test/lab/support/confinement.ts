/** Checks that a process has given up all privileges, as the kernel reports it. */
import assert from 'node:assert/strict';
import { lineOf } from '../../addon/support/child.js';

const NO_CAPABILITY = '0000000000000000';

/**
 * Checks the status text of every thread. `bounding`: the bounding set must be empty too, which only a process that
 * started as root can do.
 */
export function assertConfined(
  statuses: readonly string[],
  uid: number,
  gid: number,
  { bounding = true } = {},
): void {
  const four = (id: number) => Array(4).fill(id).join('\t');
  assert.ok(statuses.length > 4, `${statuses.length} threads`);
  const wanted: [string, string][] = [
    ['Uid', four(uid)],
    ['Gid', four(gid)],
    ['Groups', ''],
    ['NoNewPrivs', '1'],
    ...['CapInh', 'CapPrm', 'CapEff', 'CapAmb'].map((set): [string, string] => [set, NO_CAPABILITY]),
    ...(bounding ? [['CapBnd', NO_CAPABILITY] as [string, string]] : []),
  ];
  for (const status of statuses)
    for (const [name, value] of wanted)
      assert.equal(lineOf(status, name), value, `${name} of the thread ${lineOf(status, 'Name')}`);
}
