/** The VMM's end of the back-end channel: SHM region 0 and the requests about it. */
import { closeSync } from 'node:fs';
import { native } from '../../../src/native.js';
import { u64 } from './bytes.js';
import { type Message, message, REPLY, Wire } from './wire.js';

const SHMEM_MAP = 9;
const SHMEM_UNMAP = 10;
const NEED_REPLY_BIT = 8;

export interface Mapping {
  readonly fd: number;
  readonly fileOffset: number;
  readonly offset: number;
  readonly length: number;
}

/** Decides about a request: the bytes of the answer; null: no answer. */
export type Verdict = (request: Message) => Buffer | null;

/** A well-formed answer to `request`; errno 0 accepts it. */
export function answer(request: number, value = 0n): Buffer {
  return message(request, u64(value), REPLY);
}

export class Window {
  /** The present mappings. */
  mappings: Mapping[] = [];
  /** Requests that were not answered, oldest first. */
  readonly held: Message[] = [];
  verdict: Verdict = ({ request }) => answer(request);
  readonly #wire: Wire;

  /** Takes ownership of our end of a socket pair. */
  constructor(fd: number) {
    this.#wire = new Wire(fd);
  }

  get closed(): boolean {
    return this.#wire.closed;
  }

  send(bytes: Uint8Array, descriptors: readonly number[] = []): number {
    return this.#wire.send(bytes, descriptors);
  }

  /** Serves the requests that have come. */
  poll(): void {
    for (const request of this.#wire.received.splice(0)) {
      const verdict = this.verdict(request);
      if (!verdict) this.held.push(request);
      else if (request.flags & NEED_REPLY_BIT) this.send(verdict);
      if (verdict?.subarray(12).equals(u64(0))) this.#apply(request);
      else for (const fd of request.descriptors.splice(0)) closeSync(fd);
    }
  }

  /** A copy of what the guest sees. */
  read(offset: number, length: number): Buffer {
    const found = this.mappings.find(
      (each) => offset >= each.offset && offset + length <= each.offset + each.length,
    );
    if (!found) throw new RangeError(`${length} bytes at ${offset} are not mapped`);
    const region = new native.Region(found.fd, 0, found.fileOffset + found.length);
    try {
      const at = found.fileOffset + offset - found.offset;
      return Buffer.from(Buffer.from(region.windows[0]!).subarray(at, at + length));
    } finally {
      region.close();
    }
  }

  close(): void {
    for (const { fd } of this.mappings.splice(0)) closeSync(fd);
    this.#wire.close();
  }

  #apply({ request, body, descriptors }: Message): void {
    const [fileOffset, offset, length] = [8, 16, 24].map((at) => Number(body.readBigUInt64LE(at)));
    const place = { fileOffset: fileOffset!, offset: offset!, length: length! };
    if (request === SHMEM_MAP) this.mappings.push({ fd: descriptors.shift()!, ...place });
    if (request !== SHMEM_UNMAP) return;
    const gone = this.mappings.filter((each) => each.offset === offset && each.length === length);
    for (const { fd } of gone) closeSync(fd);
    this.mappings = this.mappings.filter((each) => !gone.includes(each));
  }
}
