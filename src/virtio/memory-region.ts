/** The regions of guest memory, as the VMM announces them, and as they are mapped. */
import { fstatSync } from 'node:fs';
import { native, type Region } from '../native.js';

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

export interface MappedRegion extends MemoryRegion {
  /** Device and inode of the file. The same file at the same place need not be mapped again. */
  readonly identity: string;
  /** null: the region is opaque, that is known but never mapped. */
  readonly mapped: Region | null;
  /** A view of each window of the mapped region that was used. */
  readonly views: (Uint8Array | undefined)[];
}

/** Fields of an entry that is not mapped: it is opaque, or it is only checked. */
export const UNMAPPED = { identity: '', mapped: null, views: [] };

/** Device and inode of the file behind a descriptor, as one string. Throws the error of fstat(2). */
export function fileIdentity(fd: number): string {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  return `${dev}:${ino}`;
}

export function isRange(address: number, length: number): boolean {
  return (
    Number.isSafeInteger(address) && address >= 0 && length >= 0 && Number.isSafeInteger(address + length)
  );
}

export function outside(address: number, length: number): GuestMemoryError {
  return new GuestMemoryError(`${length} bytes at 0x${address.toString(16)} are not in guest memory`);
}

export function samePlace(a: MemoryRegion, b: MemoryRegion): boolean {
  return a.guestAddress === b.guestAddress && a.size === b.size && a.userAddress === b.userAddress;
}

export function alreadyMapped(
  entries: readonly MappedRegion[],
  region: MemoryRegion,
  fd: number,
): MappedRegion | undefined {
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
export function open(region: MemoryRegion, fd: number): MappedRegion {
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
export function arranged(entries: readonly MappedRegion[]): readonly MappedRegion[] {
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
