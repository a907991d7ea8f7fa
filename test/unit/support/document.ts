/** Reads the tables of pages in docs/, and the files, symbols and test titles that the pages name. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../../..', import.meta.url));
export const read = (path: string): string => readFileSync(`${root}${path}`, 'utf8');

/** The text below a heading of the second level, up to the next one. */
export function sectionOf(page: string, heading: string): string {
  const found = page.split(`\n## ${heading}\n`)[1];
  assert.ok(found !== undefined, `no section "${heading}"`);
  return found.split(/\n## /)[0]!;
}

/** The cells of every table row, header and separator rows included. */
export function rowsOf(text: string): string[][] {
  const lines = text.split('\n').filter((line) => line.startsWith('|'));
  const cells = lines.map((line) => line.split(/(?<!\\)\|/).slice(1, -1));
  return cells.map((row) => row.map((cell) => cell.trim()));
}

export interface Mention {
  readonly path: string;
  /** The text behind the path, up to the next path. */
  readonly about: string;
}

/** Each `path` in a cell, with the text behind it. */
export function mentions(cell: string): Mention[] {
  const parts = cell.split(/`((?:src|test|docs|addon|udev)\/[^`]+)`/);
  return parts.flatMap((path, at) => (at % 2 === 1 ? [{ path, about: parts[at + 1] ?? '' }] : []));
}

/** The titles of a test file as they are in the source; template strings keep their `${…}`. */
function titlesOf(path: string): string[] {
  const found = read(path).matchAll(
    /\bit\(\s*(?:'([^']*)'|"([^"]*)"|`((?:[^`$]|\$\{(?:[^{}`]|`[^`]*`)*\})*)`)/g,
  );
  return [...found].map(([, single, double, template]) => single ?? double ?? template!);
}

export const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Whether a title that a page names is this title of a test. In the page, `…` stands for any text. */
const isTitle = (named: string, title: string): boolean =>
  new RegExp(`^${named.split('…').map(escaped).join('.*')}$`, 's').test(title);

/** How many tests the page names in quotes behind their file, and which of these tests the file does not have. */
export function namedTests(found: readonly Mention[]): { count: number; missing: string[] } {
  const missing: string[] = [];
  let count = 0;
  for (const { path, about } of found) {
    if (!path.startsWith('test/') || !about.startsWith(':')) continue;
    const named = [...about.matchAll(/"([^"]+)"/g)].map(([, title]) => title!);
    assert.ok(named.length > 0, `no test of ${path}`);
    for (const name of named) {
      count++;
      const title = name.replaceAll(/\s+/g, ' ');
      if (!titlesOf(path).some((own) => isTitle(title, own))) missing.push(`${path}: ${name}`);
    }
  }
  return { count, missing };
}
