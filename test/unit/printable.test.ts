import assert from 'node:assert/strict';
import { printable, printableData, printableStack } from '../../src/printable.js';

//  what a device says, what may be printed
const texts: readonly (readonly [raw: string, clean: string])[] = [
  ['Cam\u001b[2J\nERROR forged', 'Cam?[2J?ERROR forged'],
  ['\u0000\u0007\b\t\n\v\f\r\u007f', '?????????'],
  ['\u009b2J\u0085next\u0090', '?2J?next?'],
  ['a\u2028b\u2029c', 'a?b?c'],
  ['\u202eevil\u202c \u2066x\u2069 \u200e\u200f\u061c', '?evil? ?x? ???'],
  [Buffer.from([0x43, 0xff, 0xc3, 0x28, 0x9b]).toString('utf8'), 'C??(?'],
  ['half \ud83d of a pair \udc4d', 'half ? of a pair ?'],
];

/** Names that stay as they are. */
const names = [
  'USB2.0 HD UVC WebCam: USB2.0 HD',
  'Caméra intégrée',
  'Came\u0301ra',
  'カメラ',
  '한국어',
  'كاميرا',
  'हिन्दी',
  '📷 👩‍💻 🇩🇪 ❤️',
  '',
];

describe('printable', () => {
  for (const [raw, clean] of texts) it(`makes ${clean}`, () => assert.equal(printable(raw), clean));

  for (const name of names) it(`keeps ${name}`, () => assert.equal(printable(name), name));

  it('leaves no control, no line end and no half of a pair', () => {
    const isHarmful = (code: number): boolean =>
      code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0xd800 && code < 0xe000);
    for (let code = 0; code < 0x1_0000; code++) {
      const clean = printable(`a${String.fromCharCode(code)}b`);
      assert.equal(clean.length, 3);
      if (isHarmful(code)) assert.equal(clean, 'a?b');
      assert.equal(clean.split(/\r\n|[\n\r\u2028\u2029]/).length, 1);
    }
  });

  it('cleans every string of a result, and nothing else', () => {
    const data = { card: 'a\nb', list: [{ name: '\u001b' }, 1, null, true, undefined], n: Number.NaN };
    const clean = { card: 'a?b', list: [{ name: '?' }, 1, null, true, undefined], n: Number.NaN };
    assert.deepEqual(printableData(data), clean);
    assert.equal(data.card, 'a\nb');
  });

  it('keeps the lines of a stack, but not those of its message', () => {
    const error = new Error('Cam\u001b[2J\nERROR forged\n2026-01-01T00:00:00Z error: forged');
    const [first, second, ...rest] = printableStack(error).split('\n');
    assert.equal(first, 'Error: Cam?[2J?ERROR forged?2026-01-01T00:00:00Z error: forged');
    assert.match(second!, /^ {4}at .*printable\.test/);
    assert.ok(rest.length > 0 && rest.every((line) => line.startsWith('    at ')));
    assert.equal(printableStack('thrown\n'), 'thrown?');
  });
});
