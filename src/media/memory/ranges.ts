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
   * How many times, at most `most`, room for all of `lengths` (bytes) would be found one after the other (first fit), if the
   * ranges `freed` were released and `taken` were allocated before, each `left` times. Nothing changes.
   */
  count(
    lengths: readonly number[],
    most: number,
    freed: readonly { readonly offset: number; readonly length: number }[],
    taken: readonly { readonly lengths: readonly number[]; readonly left: number }[] = [],
  ): number {
    const left = this.#lengthsWith(freed);
    /** By span: no range before this one has room for it, and none will get any. */
    const from = new Map<number, number>();
    const fits = (length: number): boolean => {
      const span = this.span(length);
      let at = from.get(span) ?? 0;
      while (at < left.length && left[at]! < span) at++;
      from.set(span, at);
      if (at < left.length) left[at]! -= span;
      return at < left.length;
    };
    for (const before of taken) for (let n = 0; n < before.left; n++) before.lengths.forEach(fits);
    let times = 0;
    while (times < most && lengths.every(fits)) times++;
    return times;
  }

  /** Bytes of each free range after `freed` were released too. */
  #lengthsWith(freed: readonly { readonly offset: number; readonly length: number }[]): number[] {
    const more = freed.map(({ offset, length }) => ({ start: offset, end: offset + this.span(length) }));
    const lengths: number[] = [];
    let end = Number.NaN;
    for (const range of [...this.#free, ...more].sort((a, b) => a.start - b.start)) {
      const bytes = range.end - range.start;
      if (range.start === end) lengths.push(lengths.pop()! + bytes);
      else lengths.push(bytes);
      end = range.end;
    }
    return lengths;
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
