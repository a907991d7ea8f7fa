/** Compares docs/protocol.md with the code: the table of ioctls, and every file, symbol and test that it names. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { ioctls } from '../../src/v4l2/ioctls.js';
import { escaped, mentions, namedTests, read, root, rowsOf, sectionOf } from './support/document.js';

const page = read('docs/protocol.md');
const section = (heading: string): string => sectionOf(page, heading);

const everywhere = mentions(page.replaceAll('\n', ' \n'));
const inCells = rowsOf(page).flatMap((row) => row.flatMap(mentions));

describe('docs/protocol.md', () => {
  it('names files that exist', () => {
    assert.ok(everywhere.length > 250, `${everywhere.length} files`);
    const missing = everywhere.filter(({ path }) => !existsSync(`${root}${path}`));
    assert.deepEqual(missing, []);
  });

  it('names symbols that their files have', () => {
    const missing: string[] = [];
    let symbols = 0;
    for (const { path, about } of inCells) {
      if (!path.startsWith('src/') || !about.startsWith(':')) continue;
      const words = [...about.matchAll(/`([^`]+)`/g)].map(([, symbol]) => symbol!);
      assert.ok(words.length > 0, `nothing is said of ${path}`);
      for (const word of words) {
        symbols++;
        if (!new RegExp(`(^|[^\\w])${escaped(word)}\\b`).test(read(path))) missing.push(`${path}: ${word}`);
      }
    }
    assert.ok(symbols > 100, `${symbols} symbols`);
    assert.deepEqual(missing, []);
  });

  it('names tests that their files have', () => {
    const { count, missing } = namedTests(inCells);
    assert.ok(count > 130, `${count} tests`);
    assert.deepEqual(missing, []);
  });

  it('has a test for every statement', () => {
    const statements = rowsOf(section('The specification, statement by statement')).filter(
      (row) => row.length === 4 && row[0] !== 'clause' && !row[0]!.startsWith('---'),
    );
    assert.ok(statements.length > 60, `${statements.length} statements`);
    const without = statements.filter(
      (row) => !mentions(row[3]!).some(({ path }) => path.startsWith('test/')),
    );
    assert.deepEqual(without, []);
  });

  describe('Every VIDIOC', () => {
    const rows = rowsOf(section('Every VIDIOC')).filter(([number]) => /^\d+$/.test(number!));
    const listed = rows.map(([number, name, row, tests, remark]) => {
      const [payload, direction] = row!.split(', ');
      return { nr: Number(number), name: name!, payload, direction, tests: tests!, remark: remark! };
    });

    it('has every row of the code, with its payload and its direction', () => {
      const inCode = [...ioctls.values()].map(({ nr, name, payload, direction }) => ({
        nr,
        name,
        payload,
        direction,
      }));
      const inPage = listed.filter(({ direction }) => direction !== undefined);
      assert.deepEqual(
        inPage.map(({ nr, name, payload, direction }) => ({ nr, name, payload, direction })),
        inCode,
      );
    });

    it('says ENOTTY, and why, of everything else', () => {
      const others = listed.filter(({ nr }) => !ioctls.has(nr));
      assert.ok(others.length >= 14);
      for (const { nr, payload, remark } of others)
        assert.ok(payload === 'no row: ENOTTY' && remark.length > 0, `${nr}`);
    });

    it('is in the order of the numbers, each of them once, each with a test', () => {
      const numbers = listed.map(({ nr }) => nr);
      assert.deepEqual(
        numbers,
        [...new Set(numbers)].sort((a, b) => a - b),
      );
      assert.deepEqual(
        [numbers[0], numbers.at(-1), new Set(listed.map(({ name }) => name)).size],
        [0, 104, 83],
      );
      for (const { nr, tests } of listed) assert.ok(mentions(tests).length > 0, `${nr}`);
    });

    it('names a test that has something of the ioctl in it', () => {
      const silent: string[] = [];
      for (const { nr, name, tests } of listed)
        for (const { path } of mentions(tests)) {
          const text = read(path);
          const words = [name, `${nr}`, name.replace(/BUFS?$/, '')];
          if (!words.some((word) => new RegExp(`\\b${word}\\b`, 'i').test(text)))
            silent.push(`${name}: ${path}`);
        }
      assert.deepEqual(silent, []);
    });
  });
});
