/** SHM region 0 of the guest, with the files that the back-end asked the VMM to map into it. */
import { closeSync } from 'node:fs';
import { native, type Region } from '../native.js';
import type { AnnouncedRegion } from './memfd-ram.js';
import { regionView } from './region-view.js';

/** mmap(2) takes only file offsets that are multiples of the page size, in bytes. */
const PAGE_SIZE = 4096;
/** Guest-physical address of SHM region 0: far above RAM, like a 64-bit BAR. */
const WINDOW_GUEST_ADDRESS = 0x80_0000_0000;
const WINDOW_USER_ADDRESS = 0x7d00_0000_0000;

/** SHMEM_MAP or SHMEM_UNMAP: region number, then offsets and length in bytes. `offset` is the place in the region. */
export interface MapRequest {
  readonly id: number;
  readonly fileOffset: number;
  readonly offset: number;
  readonly length: number;
}

export interface SharedMemoryMapping extends MapRequest {
  readonly fd: number;
  readonly region: Region;
}

export class SharedMemoryRegion {
  /** Successful SHMEM_MAPs so far. */
  mapped = 0;
  /** Successful SHMEM_UNMAPs so far. */
  unmapped = 0;
  readonly size: number;
  readonly #overlap: 'refuse' | 'replace';
  /** In order of arrival. A later mapping covers an earlier one. */
  #mappings: SharedMemoryMapping[] = [];

  constructor(size: number, overlap: 'refuse' | 'replace') {
    this.size = size;
    this.#overlap = overlap;
  }

  get mappings(): readonly SharedMemoryMapping[] {
    return this.#mappings;
  }

  /** Takes ownership of the descriptor. Returns why the request is refused; undefined: it is mapped. */
  map(request: MapRequest, fd: number): string | undefined {
    const refusal = this.#judge(request) ?? this.#mapFile(request, fd);
    if (refusal) closeSync(fd);
    return refusal;
  }

  /** The range must be exactly that of one SHMEM_MAP. Returns why it is refused; undefined: it is unmapped. */
  unmap({ id, offset, length }: MapRequest): string | undefined {
    const found = this.#mappings.findLast(
      (mapping) => mapping.offset === offset && mapping.length === length,
    );
    if (id !== 0 || !found) return `${length} bytes at ${offset} of region ${id} are not one mapping`;
    this.#remove(found);
    this.unmapped++;
    return undefined;
  }

  /** Live bytes that the guest sees. RangeError if they are not all in one mapping. */
  view(offset: number, length: number): Uint8Array {
    const found = this.#mappings.findLast(
      (mapping) => offset >= mapping.offset && offset + length <= mapping.offset + mapping.length,
    );
    if (!found) throw new RangeError(`${length} bytes at ${offset} of the SHM window are not mapped`);
    return regionView(found.region, offset - found.offset, length);
  }

  /** The mappings as memory regions. QEMU's memory listener shows them to every vhost device of the VM. */
  get regions(): AnnouncedRegion[] {
    return this.#mappings.map(({ offset, length, fileOffset, fd }) => ({
      guestAddress: WINDOW_GUEST_ADDRESS + offset,
      size: length,
      userAddress: WINDOW_USER_ADDRESS + offset,
      fileOffset,
      fd,
    }));
  }

  /** Removes every mapping, as QEMU does when the guest resets the device. */
  clear(): void {
    for (const mapping of [...this.#mappings]) this.#remove(mapping);
  }

  #judge({ id, fileOffset, offset, length }: MapRequest): string | undefined {
    if (id !== 0) return `there is no SHM region ${id}`;
    if (![fileOffset, offset, length].every(Number.isSafeInteger) || length === 0)
      return 'an empty or endless range';
    if (offset + length > this.size) return `${length} bytes at ${offset} exceed the window of ${this.size}`;
    if (fileOffset % PAGE_SIZE !== 0) return `file offset ${fileOffset} is not a multiple of the page size`;
    const other = this.#mappings.find(
      (old) => offset < old.offset + old.length && old.offset < offset + length,
    );
    if (other && this.#overlap === 'refuse')
      return `${length} bytes at ${offset} overlap ${other.length} at ${other.offset}`;
    return undefined;
  }

  #mapFile(request: MapRequest, fd: number): string | undefined {
    try {
      const region = new native.Region(fd, request.fileOffset, request.length);
      this.#mappings.push({ ...request, fd, region });
    } catch (error) {
      return `the descriptor cannot be mapped: ${(error as Error).message}`;
    }
    const { offset, length } = request;
    const hidden = (old: SharedMemoryMapping) =>
      old.offset >= offset && old.offset + old.length <= offset + length;
    for (const old of this.#mappings.slice(0, -1).filter(hidden)) this.#remove(old);
    this.mapped++;
    return undefined;
  }

  #remove(mapping: SharedMemoryMapping): void {
    this.#mappings = this.#mappings.filter((other) => other !== mapping);
    mapping.region.close();
    closeSync(mapping.fd);
  }
}
