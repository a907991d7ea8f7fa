/** A region over a memfd for each test of a suite, and linear mappings of its pages. All are closed after the test. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { type LinearMapping, native, type Region, type RegionPiece } from '../../../src/native.js';
import { type Vma, vmasOf } from './address-space.js';

export const PAGE = 4096;
export const PAGES = 2048;

export interface Memory {
  fd: number;
  region: Region;
  words: Uint32Array;
}

/** Adds the hooks of a suite. `name`: the name of the memfd. Each test gets a new memfd and region. */
export function linearMemory(name: string) {
  const memory = {} as Memory;
  let made: LinearMapping[];
  let whole: Vma;

  beforeEach(() => {
    memory.fd = native.memoryFile(name, PAGES * PAGE);
    memory.region = new native.Region(memory.fd, 0, PAGES * PAGE);
    memory.words = new Uint32Array(memory.region.windows[0]!);
    made = [];
    [whole] = vmasOf(name) as [Vma];
  });
  afterEach(() => {
    for (const one of made) one.close();
    memory.region.close();
    closeSync(memory.fd);
  });

  const piece = (offset: number, length: number, of = memory.region): RegionPiece => ({
    region: of,
    offset,
    length,
  });
  const page = (index: number, count = 1): RegionPiece => piece(index * PAGE, count * PAGE);
  function join(...pieces: RegionPiece[]): LinearMapping {
    const mapping = native.linearMapping(pieces);
    assert.ok(typeof mapping === 'object', `${mapping}`);
    made.push(mapping);
    return mapping;
  }
  /** What linearMapping returns for pieces that it refuses: -errno. */
  const refused = (...pieces: unknown[]): unknown => native.linearMapping(pieces as RegionPiece[]);
  /** The mappings of the memfd other than that of the region. */
  const fresh = (): Vma[] => vmasOf(name).filter(({ start }) => start < whole.start || start >= whole.end);
  return { memory, piece, page, join, refused, fresh };
}
