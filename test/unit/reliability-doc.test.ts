/**
 * Compares docs/reliability.md with the tests: every fault names a test file that exists. The titles are not checked,
 * because the tests often build them from parts.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mentions, read, root, rowsOf } from './support/document.js';

const faults = rowsOf(read('docs/reliability.md')).filter(
  (row) => row.length === 4 && row[3] !== 'test' && !/^-+$/.test(row[0]!),
);

describe('docs/reliability.md', () => {
  it('names test files that exist, at least one for each fault', () => {
    assert.ok(faults.length > 50, `${faults.length} faults`);
    for (const [fault, , , tests] of faults) {
      const found = mentions(tests!);
      assert.ok(found.length > 0, `no test: ${fault}`);
      for (const { path } of found) assert.ok(existsSync(`${root}${path}`), `${fault}: ${path}`);
    }
  });
});
