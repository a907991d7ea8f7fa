/** Lines of a byte stream. */

const NEWLINE = 0x0a;

export class LineReader {
  readonly #line: (text: string) => void;
  /** Parts of the line that has not ended yet: a frame arrives as one line of a megabyte. */
  #pieces: Buffer[] = [];

  constructor(line: (text: string) => void) {
    this.#line = line;
  }

  push(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#pieces.push(chunk.subarray(start, end));
      const text = Buffer.concat(this.#pieces).toString('latin1').trimEnd();
      this.#pieces = [];
      start = end + 1;
      this.#line(text);
    }
    if (start < chunk.length) this.#pieces.push(chunk.subarray(start));
  }
}
