/**
 * SHM region 0, where the guest sees MMAP buffers. Two ways to back it:
 * arena: one sealed memory file, mapped into the guest once; a plane is a slot in it.
 * direct: each plane's DMABUF is mapped into the guest when it asks.
 *
 * A slot outlives its buffer while the guest has it mapped (VIRTIO 1.4, "Unmapping a MMAP buffer"),
 * and outlives its last MUNMAP while the buffer exists (a guest that forks sends MUNMAP twice).
 */
import { fstatSync } from 'node:fs';
import { Errno } from '../../errno.js';
import { MemoryFile } from '../../virtio/memory-file.js';
import { Price, Turn } from '../../virtio/turn.js';
import { MAP_ALIGNMENT } from '../policy.js';
import type { SharedMemoryTransport } from '../transport.js';
import { FlatCopy, runCopy } from './paced-copy.js';
import { Ranges } from './ranges.js';

export type MmapMode = 'auto' | 'arena' | 'direct';

/** One plane's place in the region. */
export interface SharedMemorySlot {
  /** Byte offset in SHM region 0: the driver's address. */
  readonly offset: number;
  /** Exact length of the plane. */
  readonly length: number;
  readonly backing: 'arena' | 'direct';
  /** Bytes that the VMM was asked to map for this slot alone: whole pages (0 in the arena). */
  readonly mapped: number;
  /** Mappings of the guest that are alive. */
  references: number;
  /** Whether the buffer still exists. */
  owned: boolean;
  /** Whether the guest was ever told of it. */
  shown: boolean;
}

export class SharedMemory {
  readonly #slots = new Map<number, SharedMemorySlot>();
  readonly #direct: Ranges;
  readonly #arenaBase: number;
  readonly #arenaRanges: Ranges;
  #arena: MemoryFile | null = null;
  #arenaMapped: Promise<number> | null = null;
  /** The VMM has confirmed it. */
  #arenaShown = false;
  /** What the VMM was asked to unmap, and has not answered. */
  readonly #unmapping = new Set<Promise<void>>();
  /** Slots that are being zeroed, over turns of the loop. */
  readonly #clearing = new Set<Promise<void>>();
  #resets = 0;
  /** Mappings that a reset left behind in a VMM that keeps them: taken back before the next one is made. */
  #stale: SharedMemorySlot[] = [];
  #closed = false;

  constructor(
    private readonly transport: SharedMemoryTransport,
    private readonly mode: MmapMode,
    private readonly turn = new Turn(),
  ) {
    const { size } = transport;
    // Where planes are mapped directly, the arena (for nodes without EXPBUF) has the upper half.
    this.#arenaBase = this.prefers === 'arena' ? 0 : size / 2;
    this.#arenaRanges = new Ranges(this.#arenaBase, size - this.#arenaBase, MAP_ALIGNMENT);
    this.#direct = new Ranges(0, this.#arenaBase, MAP_ALIGNMENT);
  }

  /** Whether buffers can be mapped at all. */
  get usable(): boolean {
    return this.transport.size > 0;
  }

  get prefers(): 'arena' | 'direct' {
    return this.mode === 'auto' ? this.transport.prefers : this.mode;
  }

  /** A slot of the arena for a plane that is about to exist, zeroed. Null: the region is full, or will have room when all is `cleared`. */
  allocate(length: number): SharedMemorySlot | null {
    const offset = this.#arenaRanges.allocate(length);
    if (offset === null) return null;
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

  /** Resolves when every slot that is free has been zeroed, and can be had again. */
  async cleared(): Promise<void> {
    await Promise.all(this.#clearing);
  }

  /** Where the slot's bytes are in this process. */
  memory(slot: SharedMemorySlot): { region: MemoryFile['region']; offset: number; length: number } {
    this.#arena ??= new MemoryFile('virtio-media-arena', this.transport.size - this.#arenaBase);
    return { region: this.#arena.region, offset: slot.offset - this.#arenaBase, length: slot.length };
  }

  /** One more guest mapping of an arena slot. Resolves to an errno when the guest can reach it; EINTR: it has reset meanwhile. */
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

  /** Maps a plane's DMABUF into the guest, with one reference. The descriptor is borrowed until this resolves. EINTR: as above. */
  async mapDescriptor(fd: number, length: number): Promise<SharedMemorySlot | number> {
    const resets = this.#resets;
    await this.#dropStale();
    const offset = this.#direct.allocate(length);
    if (offset === null) return Errno.ENOMEM;
    // A DMABUF is whole pages of the host long; VMMs refuse to map past its end, or less than a page.
    const mapped = fstatSync(fd).size;
    const errno = await this.#ask((done) => this.transport.map(fd, 0, offset, mapped, done));
    if (errno !== 0) {
      this.#direct.release(offset, length);
      return errno;
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
    return Errno.EINTR;
  }

  /** MUNMAP: `address` may lie inside a slot (the tail of a split mapping), may come twice. EINVAL: never mapped. */
  unmap(address: number): number {
    const slot = this.#slotAt(address);
    if (!slot?.shown) return Errno.EINVAL;
    slot.references = Math.max(0, slot.references - 1);
    this.#collect(slot);
    return 0;
  }

  /** The buffer is gone: the slot goes with its last mapping. */
  release(slot: SharedMemorySlot): void {
    slot.owned = false;
    this.#collect(slot);
  }

  /**
   * A session is closed. Resolves when the VMM has unmapped what went with it; `last`: and the arena, if nobody has any of
   * it mapped. QEMU aborts when a device is unplugged with something mapped, and crashes where it is asked to unmap
   * something when the guest resets: so the guest hears of the end when nothing is under way.
   */
  async settle(last: boolean): Promise<void> {
    if (this.transport.survivesReset || this.#closed) return;
    if (last) this.#unmapArena();
    await Promise.all(this.#unmapping);
  }

  /** The guest reset the device: it has no mappings any more. */
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

  /** The VMM is gone, and with it every mapping. */
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

  /** The range is handed out again only after the VMM has confirmed: crosvm ends the VM on an overlap. */
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
    const used = [...this.#slots.values()].some(
      ({ backing, references }) => backing === 'arena' && references > 0,
    );
    if (used || !this.#arenaShown) return;
    this.#arenaGone();
    const resets = this.#resets;
    this.#askToUnmap(this.#arenaBase, this.#arena!.size, (errno) => {
      // Nothing was sent: the VM is paused, and finds the arena where it was.
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
