/**
 * Reads back the text that the kernel's test pattern generator draws into pictures. The shapes of the letters are
 * learnt from a line whose text is known.
 */
import assert from 'node:assert/strict';

const CELL = { width: 8, height: 16 };
/** Pixels from the left at which a line starts. */
const MARGIN = 16;
/** Luma above which a pixel belongs to a letter. Letters are bright on a dark ground. */
const BRIGHT = 128;

export class DrawnText {
  readonly #letters = new Map<string, string>();

  /**
   * Learns the letters of a line. `luma`: rows of a picture, `stride` bytes each. `line`: as the driver counts lines,
   * 16 rows each.
   */
  learn(luma: Uint8Array, stride: number, line: number, text: string): void {
    for (const [column, letter] of [...text].entries())
      this.#letters.set(shape(luma, stride, line, column), letter);
  }

  /** Reads `length` letters. A letter that was never learnt is a question mark. */
  read(luma: Uint8Array, stride: number, line: number, length: number): string {
    const columns = Array.from({ length }, (_, column) => shape(luma, stride, line, column));
    return columns.map((each) => this.#letters.get(each) ?? '?').join('');
  }
}

function shape(luma: Uint8Array, stride: number, line: number, column: number): string {
  const left = MARGIN + column * CELL.width;
  assert.ok(left + CELL.width <= stride, 'the text leaves the picture');
  const rows = Array.from({ length: CELL.height }, (_, y) => {
    const start = (line * CELL.height + y) * stride + left;
    return luma
      .subarray(start, start + CELL.width)
      .reduce((bits, value) => bits * 2 + Number(value > BRIGHT), 0);
  });
  return Buffer.from(rows).toString('hex');
}
