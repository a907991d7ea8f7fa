/** Address ranges of a process, and a search for them in bytes. */
import { readFileSync } from 'node:fs';

export interface Range {
  readonly start: bigint;
  readonly end: bigint;
  readonly name: string;
}

/** Ranges of everything that a process has mapped. */
export function addressesOf(pid: number | 'self'): Range[] {
  const lines = readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n').filter(Boolean);
  return lines.map((line) => {
    const [range] = line.split(' ');
    const [start, end] = range!.split('-').map((text) => BigInt(`0x${text}`));
    return { start: start!, end: end!, name: line.slice(73).trim() };
  });
}

/**
 * Finds 64-bit values that lie in one of the ranges, at every offset of 4 bytes. `filler`: a word that the guest writes
 * to reserved fields. It is never the lower half of an address, whatever word is beside it.
 */
export function addressesIn(bytes: Buffer, ranges: readonly Range[], filler?: number): string[] {
  const found: string[] = [];
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  // Upper halves of the addresses. They rule out nearly every word without a comparison of 64 bits.
  const highs = new Set(
    ranges.flatMap(({ start, end }) => [Number(start >> 32n), Number((end - 1n) >> 32n)]),
  );
  for (let at = 1; at < words.length; at++) {
    if (words[at] === 0 || words[at - 1] === filler || !highs.has(words[at]!)) continue;
    const value = (BigInt(words[at]!) << 32n) | BigInt(words[at - 1]!);
    const range = ranges.find(({ start, end }) => value >= start && value < end);
    if (range) found.push(`0x${value.toString(16)} (${range.name || 'anonymous'}) at byte ${4 * (at - 1)}`);
  }
  return found;
}
