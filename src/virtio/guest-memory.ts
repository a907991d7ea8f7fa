/** Guest physical memory: regions mapped from the VMM's descriptors. They are found by guest or front-end address. */
import { closeSync, fstatSync } from 'node:fs';
import { native, type Region, type RegionPiece } from '../native.js';
import { regionSlices, windowAt } from './region-bytes.js';

/** One region, as the VMM announces it. Addresses and sizes are in bytes, and all are safe integers. */
export interface MemoryRegion {
  readonly guestAddress: number;
  readonly size: number;
  /** Start of the region in the front-end's address space. Ring addresses are given in that space. */
  readonly userAddress: number;
  readonly fileOffset: number;
}

/** A region and the descriptor to map it from. null: the region is known but never mapped. */
export interface RegionSource {
  readonly region: MemoryRegion;
  readonly fd: number | null;
}

/** An address is outside guest memory, or a region cannot be added to it. */
export class GuestMemoryError extends Error {
  readonly code = 'ERR_GUEST_MEMORY';
}

/** The most regions. QEMU never sends more (VHOST_USER_MAX_RAM_SLOTS). */
export const MAX_REGIONS = 512;

/** mmap(2) takes offsets in pages. If a file has larger pages, the kernel checks the offset. */
const PAGE_SIZE = 4096;

interface Entry extends MemoryRegion {
  /** Device and inode of the file. The same file at the same place need not be mapped again. */
  readonly identity: string;
  /** null: the region is opaque, that is known but never mapped. */
  readonly mapped: Region | null;
  /** A view of each window of the mapped region that was used. */
  readonly views: (Uint8Array | undefined)[];
}

/** Fields of an entry that is not mapped: it is opaque, or it is only checked. */
const UNMAPPED = { identity: '', mapped: null, views: [] };

/** Up to this many bytes a loop is faster than the views that a copy needs. */
const FEW = 24;

/** Device and inode of the file behind a descriptor, as one string. Throws the error of fstat(2). */
export function fileIdentity(fd: number): string {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return `${dev}:${ino}`;
}

export class GuestMemory {
  /** In order of guest address, without overlaps. */
  #entries: readonly Entry[] = [];
  /** The entry that was found last. */
  #last: Entry | null = null;
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
      this.#entries = arranged([...this.#entries, open(region, fd)]);
    } finally {
      closeSync(fd);
    }
  }

  /** Adds a region that is known but never mapped. Every access to it is an error. Throws GuestMemoryError. */
  addOpaque(region: MemoryRegion): void {
    this.#entries = arranged([...this.#entries, { ...region, ...UNMAPPED }]);
  }

  /** Removes the region with this guest address, size and user address. Returns false if there is none. */
  remove(region: MemoryRegion): boolean {
    const found = this.#entries.find((entry) => samePlace(entry, region));
    if (!found) return false;
    this.#entries = this.#entries.filter((entry) => entry !== found);
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
      this.#entries = arranged(
        sources.map(({ region, fd }) => {
          if (fd === null) return { ...region, ...UNMAPPED };
          const kept = alreadyMapped(before, region, fd);
          if (kept) return kept;
          const entry = open(region, fd);
          fresh.push(entry.mapped as Region);
          return entry;
        }),
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
    this.#entries = [];
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
    const holds = (entry: Entry) =>
      entry.userAddress <= userAddress && userAddress + length <= entry.userAddress + entry.size;
    const entry = this.#entries.find((candidate) => candidate.mapped && holds(candidate));
    return entry?.mapped ? windowAt(entry.mapped, userAddress - entry.userAddress, length) : null;
  }

  /** The region with this guest address. */
  #find(address: number): Entry | undefined {
    // Addresses that follow each other in a list are mostly in one region.
    const last = this.#last;
    if (last && address >= last.guestAddress && address < last.guestAddress + last.size) return last;
    const found = this.#search(address);
    if (found) this.#last = found;
    return found;
  }

  #search(address: number): Entry | undefined {
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

function isRange(address: number, length: number): boolean {
  return (
    Number.isSafeInteger(address) && address >= 0 && length >= 0 && Number.isSafeInteger(address + length)
  );
}

function outside(address: number, length: number): GuestMemoryError {
  return new GuestMemoryError(`${length} bytes at 0x${address.toString(16)} are not in guest memory`);
}

function samePlace(a: MemoryRegion, b: MemoryRegion): boolean {
  return a.guestAddress === b.guestAddress && a.size === b.size && a.userAddress === b.userAddress;
}

function alreadyMapped(entries: readonly Entry[], region: MemoryRegion, fd: number): Entry | undefined {
  const identity = fileIdentity(fd);
  return entries.find(
    (entry) =>
      entry.mapped !== null &&
      entry.identity === identity &&
      entry.fileOffset === region.fileOffset &&
      samePlace(entry, region),
  );
}

/** Maps a region. The caller keeps the descriptor. Throws GuestMemoryError. */
function open(region: MemoryRegion, fd: number): Entry {
  const identity = fileIdentity(fd);
  try {
    const mapped = new native.Region(fd, region.fileOffset, region.size);
    return { ...region, identity, mapped, views: [] };
  } catch (error) {
    const place = `${region.size} bytes at ${region.fileOffset} of a memory descriptor`;
    throw new GuestMemoryError(`${place} cannot be mapped: ${(error as Error).message}`, { cause: error });
  }
}

/** The entries by guest address. Throws GuestMemoryError if one is not valid, two overlap or there are too many. */
function arranged(entries: readonly Entry[]): readonly Entry[] {
  if (entries.length > MAX_REGIONS) throw new GuestMemoryError(`more than ${MAX_REGIONS} memory regions`);
  const sorted = [...entries].sort((a, b) => a.guestAddress - b.guestAddress);
  let end = 0;
  for (const entry of sorted) {
    const { guestAddress, size, userAddress, fileOffset } = entry;
    const valid =
      size > 0 && [guestAddress, userAddress, fileOffset].every((address) => isRange(address, size));
    if (!valid || fileOffset % PAGE_SIZE !== 0)
      throw new GuestMemoryError(
        `not a memory region: ${JSON.stringify({ guestAddress, size, userAddress, fileOffset })}`,
      );
    // Two regions may have one user address (the same file twice, an alias), but not one guest address.
    if (guestAddress < end)
      throw new GuestMemoryError(`memory regions overlap at 0x${guestAddress.toString(16)}`);
    end = guestAddress + size;
  }
  return sorted;
}
