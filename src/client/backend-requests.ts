/** The VMM's end of the back-end channel. It serves the requests of the back-end one after the other. */
import { closeSync } from 'node:fs';
import { UUID_BYTES } from '../media/protocol.js';
import { BackendRequest, features, HeaderFlags, sharedMemoryMap } from '../vhost-user/protocol.js';
import { type Message, MessageStream } from './message-stream.js';
import type { MapRequest, SharedMemoryRegion } from './shm-window.js';

/** Decision about one request of the back-end, made before it is carried out. A promise delays the request. */
export type Verdict = 'serve' | 'refuse';
export type Judge = (request: number, map: MapRequest | undefined) => Verdict | Promise<Verdict>;

export interface BackendRequestOwner {
  readonly window: SharedMemoryRegion;
  /** Whether the VMM acknowledges requests that carry NEED_REPLY. */
  readonly acknowledges: boolean;
  readonly judge: Judge;
  /** Objects that the back-end has announced: UUIDs in hexadecimal. */
  readonly objects: Set<string>;
  /** Resolves when the VMM can serve the back-end: it waits for no answer and holds no lock. */
  turn(): Promise<void>;
  /** Runs after a request was served, and acknowledged if that was due. `refusal`: why it was not carried out. */
  served(request: number, refusal: string | undefined): Promise<void>;
  /** The back-end broke the protocol or hung up. */
  ended(reason: Error): void;
}

/** QEMU's acknowledgement of every request that it refuses. */
const REFUSED = 1n;

export class BackendRequests {
  readonly #stream: MessageStream;
  readonly #owner: BackendRequestOwner;
  readonly #waiting: Message[] = [];
  #serving = false;
  #open = true;

  /** Takes ownership of the descriptor. */
  constructor(fd: number, owner: BackendRequestOwner) {
    this.#owner = owner;
    this.#stream = new MessageStream(fd, {
      message: (message) => this.#receive(message),
      ended: (reason) => this.#end(reason),
    });
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#stream.close();
    for (const { descriptors } of this.#waiting.splice(0)) for (const fd of descriptors) closeSync(fd);
  }

  #end(reason: Error): void {
    this.close();
    this.#owner.ended(reason);
  }

  #receive(message: Message): void {
    this.#waiting.push(message);
    if (this.#serving) return;
    this.#serving = true;
    this.#serveAll().catch((error: Error) => this.#end(error));
  }

  async #serveAll(): Promise<void> {
    while (this.#open && this.#waiting.length > 0) {
      await this.#owner.turn();
      const message = this.#waiting.shift();
      if (message) await this.#serve(message);
    }
    this.#serving = false;
  }

  async #serve({ request, flags, body, descriptors }: Message): Promise<void> {
    try {
      const refusal = await this.#carryOut(request, body, descriptors);
      if (!this.#open) return;
      if (flags & HeaderFlags.NEED_REPLY && this.#owner.acknowledges)
        this.#stream.send(request, HeaderFlags.REPLY, acknowledgement(refusal));
      await this.#owner.served(request, refusal);
    } finally {
      for (const fd of descriptors) closeSync(fd);
    }
  }

  async #carryOut(request: number, body: Buffer, descriptors: number[]): Promise<string | undefined> {
    const { window, judge, objects } = this.#owner;
    const isMap = request === BackendRequest.SHMEM_MAP || request === BackendRequest.SHMEM_UNMAP;
    if (isMap && body.length !== sharedMemoryMap.size) return `a body of ${body.length} bytes`;
    const map = isMap ? sharedMemoryMap.read(body) : undefined;
    if ((await judge(request, map)) === 'refuse') return 'refused on request';
    if (!this.#open) return 'closed';
    if (!map) return announced(objects, request, body);
    if (request === BackendRequest.SHMEM_UNMAP) return window.unmap(map);
    const fd = descriptors.shift();
    return fd === undefined ? 'no descriptor' : window.map(map, fd);
  }
}

/** Carries out a request without memory. Returns why it is refused; undefined: it is carried out. */
function announced(objects: Set<string>, request: number, body: Buffer): string | undefined {
  const { CONFIG_CHANGE, SHARED_OBJECT_ADD, SHARED_OBJECT_REMOVE } = BackendRequest;
  if (request === CONFIG_CHANGE) return undefined;
  if (request !== SHARED_OBJECT_ADD && request !== SHARED_OBJECT_REMOVE) return `unknown request ${request}`;
  if (body.length !== UUID_BYTES) return `a UUID of ${body.length} bytes`;
  const uuid = body.toString('hex');
  if (request === SHARED_OBJECT_REMOVE) return objects.delete(uuid) ? undefined : 'an unknown object';
  if (objects.has(uuid)) return 'an object that is known';
  objects.add(uuid);
  return undefined;
}

function acknowledgement(refusal: string | undefined): Buffer {
  const body = Buffer.alloc(features.size);
  body.writeBigUInt64LE(refusal ? REFUSED : 0n);
  return body;
}
