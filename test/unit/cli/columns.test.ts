import assert from 'node:assert/strict';
import { columns } from '../../../src/cli/columns.js';

describe('cli/columns', () => {
  it('pads each column and leaves no trailing blanks', () => {
    assert.deepEqual(
      columns(
        [
          ['a', 'bbb', ''],
          ['aaa', 'b'],
        ],
        ' ',
      ),
      [' a    bbb', ' aaa  b'],
    );
    assert.deepEqual(columns([]), []);
  });

  //  a name, and the cells of a terminal that it takes
  for (const [name, cells] of [
    ['カメラ', 6],
    ['ｶﾒﾗ', 3],
    ['웹캠', 4],
    ['웹캠'.normalize('NFD'), 4],
    ['全角Ａ', 6],
    ['Caméra'.normalize('NFD'), 6],
    ['e\u0301\u0302\u0303', 1],
    ['กล้อง', 4],
    ['كاميرا', 6],
    ['📷', 2],
    ['❤️', 2],
    ['👩‍💻', 2],
    ['🇩🇪', 2],
    ['𠮷', 2],
    ['①…', 2],
  ] as const)
    it(`pads by cells of the terminal: ${name}`, () => {
      const blanks = ' '.repeat(10 - cells + 2);
      assert.deepEqual(
        columns([
          ['x'.repeat(10), 'end'],
          [name, 'end'],
        ]),
        ['xxxxxxxxxx  end', `${name}${blanks}end`],
      );
      assert.deepEqual(
        columns([
          ['a', 'end'],
          [name, 'end'],
        ])[0],
        `a${' '.repeat(cells + 1)}end`,
      );
    });
});
