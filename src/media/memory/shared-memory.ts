/**
 * SHM region 0, in which the guest maps MMAP buffers. There are two ways to back it:
 * - arena: one sealed memory file, which the VMM maps into the guest once. A plane is a slot in it.
 * - direct: the VMM maps the DMABUF of a plane into the guest when the guest maps the plane.
 *
 * A slot exists as long as the guest has it mapped, even if its buffer is gone (VIRTIO 1.4, "Unmapping a MMAP buffer").
 * It also exists as long as its buffer, even after the last MUNMAP, because a guest that forks sends MUNMAP twice.
 */
import { fstatSync } from 'node:fs';
import { Errno } from '../../errno.js';
import { failure, type Result } from '../../result.js';
import { MemoryFile } from '../../virtio/memory-file.js';
import { Price, Turn } from '../../virtio/turn.js';
import { MAP_ALIGNMENT } from '../policy.js';
import type { SharedMemoryTransport } from '../transport.js';
import { FlatCopy, runCopy } from './paced-copy.js';
import { Ranges } from './ranges.js';

/** `--mmap`. auto: what the VMM prefers. */
export type MmapMode = 'auto' | 'arena' | 'direct';

/** The slot of one plane in SHM region 0. */
export interface SharedMemorySlot {
  /** Byte offset in SHM region 0. The guest gets it as the address of the mapping. */
  readonly offset: number;
  /** Exact length of the plane in bytes. */
  readonly length: number;
  readonly backing: 'arena' | 'direct';
  /** Bytes that the VMM maps for this slot alone, in whole pages; 0: a slot of the arena. */
  readonly mapped: number;
  /** Number of mappings of the slot that the guest has. */
  references: number;
  /** Whether the buffer still exists. */
  owned: boolean;
  /** Whether the guest has ever mapped the slot. */
  shown: boolean;
}

export class SharedMemory {
  readonly #slots = new Map<number, SharedMemorySlot>();
  readonly #direct: Ranges;
  readonly #arenaBase: number;
  readonly #arenaRanges: Ranges;
  #arena: MemoryFile | null = null;
  #arenaMapped: Promise<number> | null = null;
  /** The VMM has confirmed that the arena is mapped. */
  #arenaShown = false;
  /** Unmap requests that the VMM has not answered. */
  readonly #unmapping = new Set<Promise<void>>();
  /** Slots that are being zeroed, over several turns. */
  readonly #clearing = new Set<Promise<void>>();
  #resets = 0;
  /** Slots whose unmap request could not be sent (EBUSY), so the VMM keeps them. Unmapped before the next mapping. */
  #stale: SharedMemorySlot[] = [];
  #closed = false;

  constructor(
    private readonly transport: SharedMemoryTransport,
    private readonly mode: MmapMode,
    private readonly turn = new Turn(),
  ) {
    const { size } = transport;
    // If planes are mapped directly, the arena gets the upper half, for nodes without EXPBUF.
    this.#arenaBase = this.prefers === 'arena' ? 0 : size / 2;
    this.#arenaRanges = new Ranges(this.#arenaBase, size - this.#arenaBase, MAP_ALIGNMENT);
    this.#direct = new Ranges(0, this.#arenaBase, MAP_ALIGNMENT);
  }

  /** Whether the VMM offers SHM region 0, so that buffers can be mapped at all. */
  get usable(): boolean {
    return this.transport.size > 0;
  }

  get prefers(): 'arena' | 'direct' {
    return this.mode === 'auto' ? this.transport.prefers : this.mode;
  }

  /** A zeroed arena slot of `length` bytes. ENOMEM: the arena is full; `cleared` may make room. */
  allocate(length: number): Result<SharedMemorySlot> {
    const offset = this.#arenaRanges.allocate(length);
    if (offset === null) return failure(Errno.ENOMEM);
    return this.#keep({
      offset,
      length,
      backing: 'arena',
      mapped: 0,
      references: 0,
      owned: true,
      shown: false,
    });
  }

  /** Resolves when every free slot has been zeroed and can be allocated again. */
  async cleared(): Promise<void> {
    await Promise.all(this.#clearing);
  }

  /** The bytes of an arena slot in this process; `offset` and `length` in bytes. Throws if the arena cannot be made. */
  memory(slot: SharedMemorySlot): { region: MemoryFile['region']; offset: number; length: number } {
    this.#arena ??= new MemoryFile('virtio-media-arena', this.transport.size - this.#arenaBase);
    return { region: this.#arena.region, offset: slot.offset - this.#arenaBase, length: slot.length };
  }

  /** Adds a guest mapping of an arena slot. Resolves to an errno; 0: the guest can use it; EINTR: a reset came. */
  async mapSlot(slot: SharedMemorySlot): Promise<number> {
    this.memory(slot);
    const resets = this.#resets;
    const mapping = this.#arenaMapped ?? this.#mapArena();
    this.#arenaMapped = mapping;
    const errno = await mapping;
    if (errno !== 0) {
      if (this.#arenaMapped === mapping) this.#arenaMapped = null;
      return errno;
    }
    const isLate = resets !== this.#resets;
    if (!isLate || this.transport.survivesReset) this.#arenaShown = true;
    if (isLate) return Errno.EINTR;
    slot.references++;
    slot.shown = true;
    return 0;
  }

  /**
   * Maps a plane of `length` bytes into the guest. `fd`: its DMABUF, borrowed until this resolves. Resolves to a slot
   * with one reference. ENOMEM: the region is full. EINTR: the guest has reset. Other errnos are the transport's.
   */
  async mapDescriptor(fd: number, length: number): Promise<Result<SharedMemorySlot>> {
    const resets = this.#resets;
    await this.#dropStale();
    const offset = this.#direct.allocate(length);
    if (offset === null) return failure(Errno.ENOMEM);
    // A DMABUF consists of whole host pages. A VMM refuses to map beyond its end, or less than a page.
    const mapped = fstatSync(fd).size;
    const errno = await this.#ask((done) => this.transport.map(fd, 0, offset, mapped, done));
    if (errno !== 0) {
      this.#direct.release(offset, length);
      return failure(errno);
    }
    const slot: SharedMemorySlot = {
      offset,
      length,
      backing: 'direct',
      mapped,
      references: 1,
      owned: true,
      shown: true,
    };
    this.#keep(slot);
    if (resets === this.#resets) return slot;
    Object.assign(slot, { references: 0, owned: false });
    if (this.transport.survivesReset) this.#collect(slot);
    else this.#forget(slot);
    return failure(Errno.EINTR);
  }

  /** MUNMAP of a byte offset, which may lie inside a slot (a split mapping) and come twice. EINVAL: never mapped. */
  unmap(address: number): number {
    const slot = this.#slotAt(address);
    if (!slot?.shown) return Errno.EINVAL;
    slot.references = Math.max(0, slot.references - 1);
    this.#collect(slot);
    return 0;
  }

  /** The buffer is gone. The slot is freed when the guest has unmapped it. */
  release(slot: SharedMemorySlot): void {
    slot.owned = false;
    this.#collect(slot);
  }

  /**
   * A session is closed. Resolves when the VMM has answered every unmap request. `last`: no session is left, so the
   * arena is unmapped too if the guest has no slot of it mapped. QEMU aborts if a device is unplugged while something
   * is mapped, and it crashes if it gets an unmap request while the guest resets. So CLOSE waits for the answers.
   */
  async settle(last: boolean): Promise<void> {
    if (this.transport.survivesReset || this.#closed) return;
    if (last) this.#unmapArena();
    await Promise.all(this.#unmapping);
  }

  /** The guest has reset the device: it has no mappings any more. */
  reset(): void {
    const { survivesReset } = this.transport;
    this.#resets++;
    if (!survivesReset) this.#arenaGone();
    for (const slot of [...this.#slots.values()]) {
      slot.references = 0;
      if (slot.backing === 'direct' && !survivesReset) this.#forget(slot);
      else this.#collect(slot);
    }
  }

  /** The VMM is gone, and so is every mapping. */
  close(): void {
    this.#closed = true;
    this.#slots.clear();
    this.#arena?.close();
    this.#arena = null;
  }

  #slotAt(address: number): SharedMemorySlot | undefined {
    this.turn.spend(this.#slots.size * Price.ENTRY);
    for (const slot of this.#slots.values()) {
      const span = Math.ceil(slot.length / MAP_ALIGNMENT) * MAP_ALIGNMENT;
      if (address >= slot.offset && address < slot.offset + span) return slot;
    }
    return undefined;
  }

  #keep(slot: SharedMemorySlot): SharedMemorySlot {
    this.#slots.set(slot.offset, slot);
    return slot;
  }

  #collect(slot: SharedMemorySlot): void {
    if (slot.owned || slot.references > 0 || this.#slots.get(slot.offset) !== slot) return;
    this.#slots.delete(slot.offset);
    if (slot.backing === 'direct') this.#unmapDirect(slot);
    else this.#freeArena(slot);
  }

  /** A direct slot whose mapping the VMM has dropped by itself, at a reset. */
  #forget(slot: SharedMemorySlot): void {
    this.#slots.delete(slot.offset);
    this.#direct.release(slot.offset, slot.length);
  }

  #freeArena(slot: SharedMemorySlot): void {
    const base = slot.offset - this.#arenaBase;
    const clear = (at: number, bytes: number): void => this.#arena?.clear(base + at, bytes);
    const clearing = new FlatCopy(this.#arenaRanges.span(slot.length), clear);
    const done = (): void => this.#arenaRanges.release(slot.offset, slot.length);
    if (clearing.advance(this.turn)) return done();
    const cleared = runCopy(this.turn, clearing, () => this.#closed).then(() => {
      this.#clearing.delete(cleared);
      done();
    });
    this.#clearing.add(cleared);
  }

  /** The range is allocated again only after the VMM has answered, because crosvm ends the VM on an overlap. */
  #unmapDirect(slot: SharedMemorySlot): void {
    this.#askToUnmap(slot.offset, slot.mapped, (errno) => {
      if (errno === Errno.EBUSY && this.transport.survivesReset && !this.#closed) this.#stale.push(slot);
      else this.#direct.release(slot.offset, slot.length);
    });
  }

  #askToUnmap(offset: number, length: number, done: (errno: number) => void): void {
    const unmapped = new Promise<void>((resolve) => {
      this.transport.unmap(offset, length, (errno) => {
        this.#unmapping.delete(unmapped);
        resolve();
        done(errno);
      });
    });
    this.#unmapping.add(unmapped);
  }

  async #dropStale(): Promise<void> {
    for (const slot of this.#stale.splice(0)) {
      await this.#ask((done) => this.transport.unmap(slot.offset, slot.mapped, done));
      this.#direct.release(slot.offset, slot.length);
    }
  }

  #unmapArena(): void {
    const slots = [...this.#slots.values()];
    const isUsed = slots.some(({ backing, references }) => backing === 'arena' && references > 0);
    if (isUsed || !this.#arenaShown) return;
    this.#arenaGone();
    const resets = this.#resets;
    this.#askToUnmap(this.#arenaBase, this.#arena!.size, (errno) => {
      // EBUSY: nothing was sent because the VM is paused, so the arena is still mapped.
      if (errno !== Errno.EBUSY || resets !== this.#resets) return;
      this.#arenaMapped ??= Promise.resolve(0);
      this.#arenaShown = true;
    });
  }

  #arenaGone(): void {
    this.#arenaMapped = null;
    this.#arenaShown = false;
  }

  async #mapArena(): Promise<number> {
    const resets = this.#resets;
    await Promise.all(this.#unmapping);
    if (resets !== this.#resets && !this.transport.survivesReset) return Errno.EINTR;
    if (this.#closed) return Errno.ECONNRESET;
    if (this.#arenaShown) return 0;
    const { fd, size } = this.#arena!;
    return this.#ask((done) => this.transport.map(fd, 0, this.#arenaBase, size, done));
  }

  #ask(send: (done: (errno: number) => void) => void): Promise<number> {
    return this.usable ? new Promise(send) : Promise.resolve(Errno.EINVAL);
  }
}
