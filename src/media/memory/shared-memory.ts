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
import { failure, isFailure, type Result } from '../../result.js';
import type { MemoryFile } from '../../virtio/memory-file.js';
import { Price, Turn } from '../../virtio/turn.js';
import { MAP_ALIGNMENT } from '../policy.js';
import type { SharedMemoryTransport } from '../transport.js';
import { Arena } from './arena.js';
import { FlatCopy, runCopy } from './paced-copy.js';
import { PromisedRoom } from './promised-room.js';
import { Ranges } from './ranges.js';
import { VmmMappings } from './vmm-mappings.js';

/** `--mmap`. auto: what the VMM prefers. */
export type MmapMode = 'auto' | 'arena' | 'direct';

/** Which part of the region a slot is in. */
type Part = 'arena' | 'direct';

/** The slot of one plane in SHM region 0. */
export interface SharedMemorySlot {
  /** Byte offset in SHM region 0. The guest gets it as the address of the mapping. */
  readonly offset: number;
  /** Exact length of the plane in bytes. */
  readonly length: number;
  readonly backing: Part;
  /** Bytes that the VMM maps for this slot alone, in whole pages; 0: none, or a slot of the arena. */
  mapped: number;
  /** Number of mappings of the slot that the guest has. */
  references: number;
  /** Whether the buffer still exists. */
  owned: boolean;
  /** Whether the guest has ever mapped the slot. */
  shown: boolean;
}

export class SharedMemory {
  readonly promised = new PromisedRoom();
  readonly #slots = new Map<number, SharedMemorySlot>();
  readonly #direct: Ranges;
  readonly #arena: Arena;
  readonly #arenaRanges: Ranges;
  readonly #vmm: VmmMappings;
  /** Slots that are being zeroed, over several turns. */
  readonly #clearing = new Set<Promise<void>>();
  /** Slots that nobody has any more, and whose ranges are not free yet: being zeroed, or still mapped by the VMM. */
  readonly #leaving = new Set<SharedMemorySlot>();
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
    this.#vmm = new VmmMappings(transport);
    // If planes are mapped directly, the arena gets the upper half, for nodes without EXPBUF.
    const base = this.prefers === 'arena' ? 0 : size / 2;
    this.#arena = new Arena(transport, this.#vmm, base, size - base);
    this.#arenaRanges = new Ranges(base, size - base, MAP_ALIGNMENT);
    this.#direct = new Ranges(0, base, MAP_ALIGNMENT);
  }

  /** Whether the VMM offers SHM region 0, so that buffers can be mapped at all. */
  get usable(): boolean {
    return this.transport.size > 0;
  }

  get prefers(): Part {
    return this.mode === 'auto' ? this.transport.prefers : this.mode;
  }

  /**
   * A slot of `length` bytes: a zeroed one of the arena, or a place for a DMABUF that mapDescriptor() maps there. ENOMEM:
   * there is no room; `vacated` may make some.
   */
  allocate(length: number, backing: Part = 'arena'): Result<SharedMemorySlot> {
    const offset = this.#rangesOf(backing).allocate(length);
    if (offset === null) return failure(Errno.ENOMEM);
    return this.#keep({ offset, length, backing, mapped: 0, references: 0, owned: true, shown: false });
  }

  /** Resolves when every slot that nobody has any more has been zeroed or unmapped, and can be allocated again. */
  async vacated(backing: Part): Promise<void> {
    await (backing === 'arena'
      ? Promise.all(this.#clearing)
      : this.#dropStale().then(() => this.#vmm.settled()));
  }

  /**
   * How many buffers with planes of `lengths` bytes have room, at most `most`, if the slots `given` were released first.
   * A slot that the guest has mapped has no room for others. Promises the room to `owner`.
   */
  room(
    owner: object,
    part: Part,
    lengths: readonly number[],
    most: number,
    given: readonly SharedMemorySlot[],
  ): number {
    const freed = [...given, ...this.#leaving].filter((s) => s.backing === part && s.references === 0);
    this.turn.spend((this.#slots.size + freed.length) * Price.ENTRY);
    const taken = this.promised.others(owner, part);
    const left = this.#rangesOf(part).count(lengths, most, freed, taken);
    this.promised.give(owner, { part, lengths, left });
    return left;
  }

  /** The bytes of an arena slot in this process; `offset` and `length` in bytes. Throws if the arena cannot be made. */
  memory(slot: SharedMemorySlot): { region: MemoryFile['region']; offset: number; length: number } {
    const { region, base } = this.#arena;
    return { region, offset: slot.offset - base, length: slot.length };
  }

  /** Adds a guest mapping of an arena slot. Resolves to an errno; 0: the guest can use it; EINTR: a reset came. */
  async mapSlot(slot: SharedMemorySlot): Promise<number> {
    const errno = await this.#arena.show();
    if (errno !== 0) return errno;
    slot.references++;
    slot.shown = true;
    return 0;
  }

  /**
   * Maps a plane of `length` bytes into the guest. `fd`: its DMABUF, borrowed until this resolves. `reserved`: the slot
   * that was allocated for it; null: there is none. Resolves to a slot with one reference. ENOMEM: the region is full.
   * EINTR: the guest has reset. Other errnos are the transport's.
   */
  async mapDescriptor(
    fd: number,
    length: number,
    reserved: SharedMemorySlot | null = null,
  ): Promise<Result<SharedMemorySlot>> {
    const resets = this.#resets;
    await this.#dropStale();
    const slot = reserved ?? this.allocate(length, 'direct');
    if (isFailure(slot)) return slot;
    // A DMABUF consists of whole host pages. A VMM refuses to map beyond its end, or less than a page.
    slot.mapped = Math.min(fstatSync(fd).size, this.#direct.span(length));
    const errno = await this.#vmm.map(fd, slot.offset, slot.mapped);
    if (errno !== 0) {
      slot.mapped = 0;
      if (!reserved) this.release(slot);
      return failure(errno);
    }
    if (resets === this.#resets) return Object.assign(slot, { references: 1, shown: true });
    slot.owned = false;
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
    const isUsed = [...this.#slots.values()].some((s) => s.backing === 'arena' && s.references > 0);
    if (last && !isUsed) this.#arena.hide();
    await this.#vmm.settled();
  }

  /** The guest has reset the device: it has no mappings any more. */
  reset(): void {
    const { survivesReset } = this.transport;
    this.#resets++;
    this.#arena.reset();
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
    this.#arena.close();
  }

  #slotAt(address: number): SharedMemorySlot | undefined {
    this.turn.spend(this.#slots.size * Price.ENTRY);
    const has = ({ offset, length, backing }: SharedMemorySlot): boolean =>
      address >= offset && address < offset + this.#rangesOf(backing).span(length);
    return [...this.#slots.values()].find(has);
  }

  #keep(slot: SharedMemorySlot): SharedMemorySlot {
    this.#slots.set(slot.offset, slot);
    return slot;
  }

  #collect(slot: SharedMemorySlot): void {
    if (slot.owned || slot.references > 0 || this.#slots.get(slot.offset) !== slot) return;
    this.#slots.delete(slot.offset);
    this.#leaving.add(slot);
    if (slot.backing === 'arena') this.#freeArena(slot);
    else if (slot.mapped > 0) this.#unmapDirect(slot);
    else this.#free(slot);
  }

  /** A direct slot whose mapping the VMM has dropped by itself, at a reset. */
  #forget(slot: SharedMemorySlot): void {
    if (this.#slots.delete(slot.offset)) this.#free(slot);
  }

  /** The range of a slot can be allocated again. */
  #free(slot: SharedMemorySlot): void {
    this.#leaving.delete(slot);
    this.#rangesOf(slot.backing).release(slot.offset, slot.length);
  }

  #rangesOf(backing: Part): Ranges {
    return backing === 'arena' ? this.#arenaRanges : this.#direct;
  }

  #freeArena(slot: SharedMemorySlot): void {
    const base = slot.offset - this.#arena.base;
    const clear = (at: number, bytes: number): void => this.#arena.clear(base + at, bytes);
    const clearing = new FlatCopy(this.#arenaRanges.span(slot.length), clear);
    if (clearing.advance(this.turn)) return this.#free(slot);
    const cleared = runCopy(this.turn, clearing, () => this.#closed).then(() => {
      this.#clearing.delete(cleared);
      this.#free(slot);
    });
    this.#clearing.add(cleared);
  }

  /** The range is allocated again only after the VMM has answered, because crosvm ends the VM on an overlap. */
  #unmapDirect(slot: SharedMemorySlot): void {
    this.#vmm.unmap(slot.offset, slot.mapped, (errno) => {
      if (errno === Errno.EBUSY && this.transport.survivesReset && !this.#closed) this.#stale.push(slot);
      else this.#free(slot);
    });
  }

  async #dropStale(): Promise<void> {
    for (const slot of this.#stale.splice(0)) {
      await new Promise<void>((done) => this.#vmm.unmap(slot.offset, slot.mapped, () => done()));
      this.#free(slot);
    }
  }
}
