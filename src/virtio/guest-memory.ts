/** Guest physical memory: regions mapped from the VMM's descriptors. They are found by guest or front-end address. */
import { closeSync } from 'node:fs';
import { native, type Region, type RegionPiece } from '../native.js';
import {
  alreadyMapped,
  arranged,
  isRange,
  type MappedRegion,
  type MemoryRegion,
  open,
  outside,
  type RegionSource,
  samePlace,
  UNMAPPED,
} from './memory-region.js';
import { regionSlices, windowAt } from './region-bytes.js';

export {
  fileIdentity,
  GuestMemoryError,
  MAX_REGIONS,
  type MemoryRegion,
  type RegionSource,
} from './memory-region.js';

/** Up to this many bytes a loop is faster than the views that a copy needs. */
const FEW = 24;

export class GuestMemory {
  /** What rings may access: always the mapped regions of this memory. */
  readonly native = new native.GuestMemory();
  /** In order of guest address, without overlaps. */
  #entries: readonly MappedRegion[] = [];
  /** The entry that was found last. */
  #last: MappedRegion | null = null;
  #generation = 0;

  /** This number changes whenever an address may stand for other memory. */
  get generation(): number {
    return this.#generation;
  }

  get regions(): readonly MemoryRegion[] {
    return this.#entries;
  }

  /** Maps one more region. Closes the descriptor in any case. Throws GuestMemoryError. */
  add(region: MemoryRegion, fd: number): void {
    try {
      // The region is checked before it is mapped, so a refused region costs no mapping.
      arranged([...this.#entries, { ...region, ...UNMAPPED }]);
      this.#use(arranged([...this.#entries, open(region, fd)]));
    } finally {
      closeSync(fd);
    }
  }

  /** Adds a region that is known but never mapped. Every access to it is an error. Throws GuestMemoryError. */
  addOpaque(region: MemoryRegion): void {
    this.#use(arranged([...this.#entries, { ...region, ...UNMAPPED }]));
  }

  /** Removes the region with this guest address, size and user address. Returns false if there is none. */
  remove(region: MemoryRegion): boolean {
    const found = this.#entries.find((entry) => samePlace(entry, region));
    if (!found) return false;
    this.#use(this.#entries.filter((entry) => entry !== found));
    this.#last = null;
    this.#generation++;
    found.mapped?.close();
    return true;
  }

  /**
   * Replaces all regions. The new table is complete before the old one is closed. Throws GuestMemoryError, and the
   * old table stays then. Closes every descriptor in any case.
   */
  replace(sources: readonly RegionSource[]): void {
    const before = this.#entries;
    const fresh: Region[] = [];
    try {
      arranged(sources.map(({ region }) => ({ ...region, ...UNMAPPED })));
      this.#use(
        arranged(
          sources.map(({ region, fd }) => {
            if (fd === null) return { ...region, ...UNMAPPED };
            const kept = alreadyMapped(before, region, fd);
            if (kept) return kept;
            const entry = open(region, fd);
            fresh.push(entry.mapped as Region);
            return entry;
          }),
        ),
      );
    } catch (error) {
      for (const region of fresh) region.close();
      throw error;
    } finally {
      for (const { fd } of sources) if (fd !== null) closeSync(fd);
    }
    this.#last = null;
    this.#generation++;
    for (const entry of before) if (!this.#entries.includes(entry)) entry.mapped?.close();
  }

  close(): void {
    const before = this.#entries;
    this.#use([]);
    this.#last = null;
    this.#generation++;
    for (const entry of before) entry.mapped?.close();
  }

  /** The pieces of `length` bytes at a guest address, in order. Throws GuestMemoryError if any byte is outside. */
  pieces(guestAddress: number, length: number): RegionPiece[] {
    if (!isRange(guestAddress, length)) throw outside(guestAddress, length);
    const pieces: RegionPiece[] = [];
    for (let done = 0; done < length; done += pieces.at(-1)!.length) {
      const entry = this.#find(guestAddress + done);
      if (!entry?.mapped) throw outside(guestAddress, length);
      const offset = guestAddress + done - entry.guestAddress;
      pieces.push({ region: entry.mapped, offset, length: Math.min(length - done, entry.size - offset) });
    }
    return pieces;
  }

  /** Views of `length` bytes at a guest address, in order. Throws GuestMemoryError if any byte is outside. */
  slices(guestAddress: number, length: number): Uint8Array[] {
    const pieces = this.pieces(guestAddress, length);
    return pieces.flatMap((piece) => regionSlices(piece.region, piece.offset, piece.length));
  }

  /** Throws GuestMemoryError if any of `length` bytes at a guest address is outside. */
  check(guestAddress: number, length: number): void {
    if (!isRange(guestAddress, length)) throw outside(guestAddress, length);
    for (let at = guestAddress; at < guestAddress + length; ) {
      const entry = this.#find(at);
      if (!entry?.mapped) throw outside(guestAddress, length);
      at = entry.guestAddress + entry.size;
    }
  }

  /**
   * Copies `length` bytes at a guest address to `into`, from its byte `at` on. If it throws GuestMemoryError, nothing
   * was copied.
   */
  copyOut(guestAddress: number, into: Uint8Array, at: number, length: number): void {
    this.check(guestAddress, length);
    for (let done = 0; done < length; )
      done += this.#copy(guestAddress + done, into, at + done, length - done, false);
  }

  /**
   * Copies `length` bytes of `from`, from its byte `at` on, to a guest address. If it throws GuestMemoryError,
   * nothing was written.
   */
  copyIn(guestAddress: number, from: Uint8Array, at: number, length: number): void {
    this.check(guestAddress, length);
    for (let done = 0; done < length; )
      done += this.#copy(guestAddress + done, from, at + done, length - done, true);
  }

  /** Copies as many bytes as one window has, and returns their number. The caller has checked the address. */
  #copy(guestAddress: number, ours: Uint8Array, at: number, length: number, inwards: boolean): number {
    const { guestAddress: base, size, mapped, views } = this.#find(guestAddress)!;
    const offset = guestAddress - base;
    const index = Math.floor(offset / native.WINDOW_STRIDE);
    const start = offset - index * native.WINDOW_STRIDE;
    views[index] ??= new Uint8Array(mapped!.windows[index]!);
    const view = views[index];
    const bytes = Math.min(length, size - offset, view.length - start);
    if (bytes > FEW && inwards) view.set(ours.subarray(at, at + bytes), start);
    else if (bytes > FEW) ours.set(view.subarray(start, start + bytes), at);
    else if (inwards) for (let n = 0; n < bytes; n++) view[start + n] = ours[at + n]!;
    else for (let n = 0; n < bytes; n++) ours[at + n] = view[start + n]!;
    return bytes;
  }

  /** A copy of `length` bytes. The caller limits the length. Throws GuestMemoryError. */
  read(guestAddress: number, length: number): Buffer {
    this.check(guestAddress, length);
    const bytes = Buffer.allocUnsafe(length);
    this.copyOut(guestAddress, bytes, 0, length);
    return bytes;
  }

  /** Copies `bytes` to a guest address. If it throws GuestMemoryError, nothing was written. */
  write(guestAddress: number, bytes: Uint8Array): void {
    this.copyIn(guestAddress, bytes, 0, bytes.length);
  }

  /** One view at a front-end address. null: no single region has all bytes, or `length` exceeds WINDOW_OVERLAP. */
  ring(userAddress: number, length: number): Uint8Array | null {
    if (!isRange(userAddress, length) || length > native.WINDOW_OVERLAP) return null;
    const holds = (entry: MappedRegion) =>
      entry.userAddress <= userAddress && userAddress + length <= entry.userAddress + entry.size;
    const entry = this.#entries.find((candidate) => candidate.mapped && holds(candidate));
    return entry?.mapped ? windowAt(entry.mapped, userAddress - entry.userAddress, length) : null;
  }

  #use(entries: readonly MappedRegion[]): void {
    this.#entries = entries;
    const mapped = entries.filter((entry) => entry.mapped !== null);
    this.native.set(
      mapped.map(({ guestAddress }) => guestAddress),
      mapped.map((entry) => entry.mapped!),
    );
  }

  /** The region with this guest address. */
  #find(address: number): MappedRegion | undefined {
    // Addresses that follow each other in a list are mostly in one region.
    const last = this.#last;
    if (last && address >= last.guestAddress && address < last.guestAddress + last.size) return last;
    const found = this.#search(address);
    if (found) this.#last = found;
    return found;
  }

  #search(address: number): MappedRegion | undefined {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#entries[middle]!.guestAddress <= address) low = middle + 1;
      else high = middle;
    }
    const entry = this.#entries[low - 1];
    return entry && address < entry.guestAddress + entry.size ? entry : undefined;
  }
}
