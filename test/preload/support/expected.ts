/** The list of docs/protocol.md: results of v4l2-compliance that may differ between the bridge and the native node. */
import { readFileSync } from 'node:fs';
import type { Difference } from './compliance.js';

const HEADING = '## What v4l2-compliance says otherwise';

export interface Expected {
  /** Name of the test in the tool, without its heading. */
  readonly test: string;
  readonly natively: string;
  readonly bridged: string;
  /** Kinds of nodes, or `all but` some. */
  readonly nodes: string;
  readonly cause: string;
}

/** The rows of the table after the heading. */
export function expectedDifferences(): Expected[] {
  const text = readFileSync(new URL('../../../../docs/protocol.md', import.meta.url), 'utf8');
  const section = text.split(HEADING)[1];
  if (!section) throw new Error(`docs/protocol.md has no "${HEADING}"`);
  const rows = section
    .split(/\n## /)[0]!
    .split('\n')
    .filter((line) => line.startsWith('| '));
  return rows.slice(1).map((row) => {
    const [test, natively, bridged, nodes, cause] = row.split('|').slice(1, -1).map(plain);
    if (!test || !natively || !bridged || !cause) throw new Error(`docs/protocol.md: no row: ${row}`);
    return { test, natively, bridged, nodes: nodes ?? '', cause };
  });
}

const plain = (cell: string): string => cell.trim().replaceAll('`', '');

/** Whether a row describes this difference on this kind of node. */
export function isExpected(
  { test, natively, bridged, nodes }: Expected,
  found: Difference,
  kind: string,
): boolean {
  const name = found.test.slice(found.test.lastIndexOf(' / ') + 3).replace(/ \(\d+\)$/, '');
  const listed = nodes
    .replace(/^all but /, '')
    .split(', ')
    .includes(kind);
  return (
    listed !== nodes.startsWith('all but ') &&
    name === test &&
    natively === found.natively &&
    bridged === found.bridged
  );
}
