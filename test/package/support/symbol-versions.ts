/** The symbol versions that a prebuilt addon may need, as docs/installation.md has them. */
import assert from 'node:assert/strict';
import { read, rowsOf, sectionOf } from '../../unit/support/document.js';

/** The newest version for each kind: `GLIBC` -> `GLIBC_2.34`. */
export function newestVersions(): ReadonlyMap<string, string> {
  const cells = rowsOf(sectionOf(read('docs/installation.md'), 'What it needs'))
    .flat()
    .join(' ');
  const found = [...cells.matchAll(/`((GLIBC|GLIBCXX|CXXABI)_[\d.]+)`/g)];
  const newest = new Map(found.map(([, version, kind]) => [kind!, version!]));
  assert.deepEqual([...newest.keys()].sort(), ['CXXABI', 'GLIBC', 'GLIBCXX']);
  return newest;
}

/** Those of these versions that are newer, or of another kind. */
export function tooNew(versions: readonly string[]): string[] {
  const newest = newestVersions();
  return versions.filter((version) => {
    const bound = newest.get(version.split('_')[0]!) ?? '';
    return version.localeCompare(bound, 'en', { numeric: true }) > 0;
  });
}
