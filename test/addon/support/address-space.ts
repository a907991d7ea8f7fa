/** The address space of this process, as the kernel shows it. */
import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

/** A mapping: two addresses, and the offset in the file, in bytes. */
export interface Vma {
  start: number;
  end: number;
  offset: number;
}

/** The mappings of a file in this process, in the order of their addresses. */
export function vmasOf(name: string): Vma[] {
  const lines = readFileSync('/proc/self/maps', 'latin1').split('\n');
  return lines
    .filter((line) => line.includes(name))
    .map((line) => {
      const [, start, end, offset] = /^(\w+)-(\w+) rw-s (\w+)/.exec(line)!;
      return { start: Number(`0x${start}`), end: Number(`0x${end}`), offset: Number(`0x${offset}`) };
    });
}

export const mapsLines = (): number => readFileSync('/proc/self/maps', 'latin1').split('\n').length;

/** Reads bytes of this process at an address. */
export function readMemory(address: number, length: number): Buffer {
  const memory = openSync('/proc/self/mem', 'r');
  const bytes = Buffer.alloc(length);
  assert.equal(readSync(memory, bytes, 0, length, address), length);
  closeSync(memory);
  return bytes;
}
