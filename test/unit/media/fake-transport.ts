/** A fake: the VMM's side of SHM region 0. It records all requests and answers them when the test says so. */
import type { ObjectTransport, SharedMemoryTransport } from '../../../src/media/transport.js';

export interface Asked {
  readonly what: 'map' | 'unmap';
  /** Only for `map`: the borrowed descriptor, and the byte offset in its file. */
  readonly fd?: number;
  readonly fileOffset?: number;
  readonly offset: number;
  readonly length: number;
}

export class FakeTransport implements SharedMemoryTransport, ObjectTransport {
  readonly asked: Asked[] = [];
  /** Objects that the VMM knows, in hexadecimal. */
  readonly objects: string[] = [];
  readonly #waiting: ((errno: number) => void)[] = [];
  /** The errno of every answer, which is given in the next turn; null: the test gives the answers. */
  errno: number | null = 0;

  constructor(
    readonly size = 1 << 24,
    readonly prefers: 'arena' | 'direct' = 'arena',
    public survivesReset = false,
  ) {}

  map(fd: number, fileOffset: number, offset: number, length: number, done: (errno: number) => void): void {
    this.#take({ what: 'map', fd, fileOffset, offset, length }, done);
  }

  unmap(offset: number, length: number, done: (errno: number) => void): void {
    this.#take({ what: 'unmap', offset, length }, done);
  }

  addObject(uuid: Uint8Array): void {
    this.objects.push(Buffer.from(uuid).toString('hex'));
  }

  removeObject(uuid: Uint8Array): void {
    const at = this.objects.indexOf(Buffer.from(uuid).toString('hex'));
    if (at >= 0) this.objects.splice(at, 1);
  }

  /** Number of requests without an answer. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Answers the oldest request that has no answer. */
  answer(errno = 0): void {
    this.#waiting.shift()!(errno);
  }

  /** Byte offset and length of all requests of a kind. */
  places(what: 'map' | 'unmap'): [number, number][] {
    return this.asked.filter((each) => each.what === what).map(({ offset, length }) => [offset, length]);
  }

  #take(asked: Asked, done: (errno: number) => void): void {
    this.asked.push(asked);
    const { errno } = this;
    if (errno === null) this.#waiting.push(done);
    else setImmediate(() => done(errno));
  }
}
