/** Requests to map and unmap parts of SHM region 0, and those of them that the VMM has not answered. */
import { Errno } from '../../errno.js';
import type { SharedMemoryTransport } from '../transport.js';

export class VmmMappings {
  /** Unmap requests without an answer. */
  readonly #unmapping = new Set<Promise<void>>();

  constructor(private readonly transport: SharedMemoryTransport) {}

  /** Maps `length` bytes of `fd` at byte `offset` of the region. Resolves to an errno; EINVAL: there is no region. */
  map(fd: number, offset: number, length: number): Promise<number> {
    if (this.transport.size === 0) return Promise.resolve(Errno.EINVAL);
    return new Promise((done) => this.transport.map(fd, 0, offset, length, done));
  }

  /** `done` gets an errno, before `settled` resolves. EBUSY: the device does not run, and nothing was sent. */
  unmap(offset: number, length: number, done: (errno: number) => void): void {
    const unmapped = new Promise<void>((resolve) => {
      this.transport.unmap(offset, length, (errno) => {
        this.#unmapping.delete(unmapped);
        resolve();
        done(errno);
      });
    });
    this.#unmapping.add(unmapped);
  }

  /** Resolves when the VMM has answered every unmap request. */
  async settled(): Promise<void> {
    await Promise.all(this.#unmapping);
  }
}
