/**
 * SHM region 0 as the guest sees it: what the device maps there is also mapped in this process, and can be searched.
 */
import type { ObjectTransport, SharedMemoryTransport } from '../../src/media/transport.js';
import { native, type Region } from '../../src/native.js';
import type { Random } from './random.js';

const EIO = 5;
const EBUSY = 16;

export class GuestWindow implements SharedMemoryTransport, ObjectTransport {
  readonly survivesReset: boolean;
  readonly prefers: 'arena' | 'direct';
  /** Requests that no device may send. */
  readonly faults: string[] = [];
  readonly #mapped = new Map<number, Region>();
  readonly #objects = new Set<string>();
  #unanswered = 0;

  constructor(
    private readonly random: Random,
    readonly size: number,
  ) {
    this.prefers = random.chance(0.5) ? 'arena' : 'direct';
    this.survivesReset = this.prefers === 'direct';
  }

  map(fd: number, fileOffset: number, offset: number, length: number, done: (errno: number) => void): void {
    if (offset < 0 || offset + length > this.size) this.faults.push(`${length} bytes mapped at ${offset}`);
    for (const [at, { size }] of this.#mapped)
      if (offset < at + size && at < offset + length)
        this.faults.push(`a mapping at ${offset} over one at ${at}`);
    const errno = this.#mood();
    if (errno === 0) this.#mapped.set(offset, new native.Region(fd, fileOffset, length));
    this.#later(() => done(errno));
  }

  unmap(offset: number, length: number, done: (errno: number) => void): void {
    const region = this.#mapped.get(offset);
    if (region?.size !== length) this.faults.push(`${length} bytes at ${offset} are not mapped`);
    this.#mapped.delete(offset);
    region?.close();
    this.#later(() => done(0));
  }

  addObject(uuid: Uint8Array): void {
    this.#objects.add(Buffer.from(uuid).toString('hex'));
  }

  removeObject(uuid: Uint8Array): void {
    if (!this.#objects.delete(Buffer.from(uuid).toString('hex')))
      this.faults.push('an object that never was');
  }

  /** The guest has reset the device: everything is unmapped. */
  reset(): void {
    if (!this.survivesReset) this.close();
  }

  /** Everything that the guest sees in SHM region 0. */
  get bytes(): Buffer[] {
    return [...this.#mapped.values()].flatMap(({ windows }) => windows.map((window) => Buffer.from(window)));
  }

  get unanswered(): number {
    return this.#unanswered;
  }

  close(): void {
    for (const region of this.#mapped.values()) region.close();
    this.#mapped.clear();
  }

  /** The errno of an answer. Now and then a VMM refuses a request. */
  #mood(): number {
    return this.random.weighted([
      [50, 0],
      [1, EIO],
      [1, EBUSY],
    ]);
  }

  #later(run: () => void): void {
    this.#unanswered++;
    let turns = this.random.below(4);
    const turn = (): void => {
      if (turns-- > 0) return void setImmediate(turn);
      this.#unanswered--;
      run();
    };
    setImmediate(turn);
  }
}
