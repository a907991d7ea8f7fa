/** Free ranges of an address space (next fit): a range that was released is allocated again as late as possible. */

/** Addresses in bytes; `end` is the first address after the range. */
interface Range {
  start: number;
  end: number;
}

/** `size` bytes from address `start` on, allocated in multiples of `alignment` bytes. */
export class Ranges {
  #free: Range[];
  #cursor: number;

  constructor(
    private readonly start: number,
    size: number,
    private readonly alignment: number,
  ) {
    this.#free = size > 0 ? [{ start, end: start + size }] : [];
    this.#cursor = start;
  }

  /** `length` (bytes, at least 1) rounded up to the alignment. */
  span(length: number): number {
    return Math.ceil(Math.max(length, 1) / this.alignment) * this.alignment;
  }

  /** Takes a free range of `span(length)` bytes and returns its start; null: none is long enough. */
  allocate(length: number): number | null {
    const span = this.span(length);
    const range = this.#fitting(span, this.#cursor) ?? this.#fitting(span, this.start);
    if (!range) return null;
    const start = Math.max(range.start, this.#cursor + span <= range.end ? this.#cursor : range.start);
    this.#take(range, start, start + span);
    this.#cursor = start + span;
    return start;
  }

  /** Releases a range. `start`: the result of `allocate(length)`. */
  release(start: number, length: number): void {
    const freed = { start, end: start + this.span(length) };
    const others = this.#free.filter((range) => {
      if (range.end === freed.start) freed.start = range.start;
      else if (range.start === freed.end) freed.end = range.end;
      else return true;
      return false;
    });
    this.#free = [...others, freed].sort((a, b) => a.start - b.start);
  }

  /**
   * How many times, at most `most`, all of `lengths` (bytes) could be allocated one after the other, if the ranges
   * `freed` were released first. Nothing changes.
   */
  count(
    lengths: readonly number[],
    most: number,
    freed: readonly { readonly offset: number; readonly length: number }[],
  ): number {
    const trial = new Ranges(this.start, 0, this.alignment);
    trial.#free = this.#free;
    trial.#cursor = this.#cursor;
    for (const { offset, length } of freed) trial.release(offset, length);
    let times = 0;
    while (times < most && lengths.every((length) => trial.allocate(length) !== null)) times++;
    return times;
  }

  /** Free bytes, in all ranges together. */
  get available(): number {
    return this.#free.reduce((sum, range) => sum + range.end - range.start, 0);
  }

  /** The first range with `span` free bytes at or after `from`. */
  #fitting(span: number, from: number): Range | undefined {
    return this.#free.find((range) => range.end - Math.max(range.start, from) >= span);
  }

  #take(range: Range, start: number, end: number): void {
    const rest = [
      { start: range.start, end: start },
      { start: end, end: range.end },
    ].filter((piece) => piece.end > piece.start);
    this.#free = [...this.#free.filter((other) => other !== range), ...rest].sort(
      (a, b) => a.start - b.start,
    );
  }
}
