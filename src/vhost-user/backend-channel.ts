/**
 * The bridge's requests to the front-end: mappings of SHM region 0, and shared objects. They are sent while the
 * device runs. Nothing waits for their answers.
 */
import { closeSync } from 'node:fs';
import { Errno } from '../errno.js';
import { warnLimited } from '../log.js';
import { native } from '../native.js';
import { failure, isFailure } from '../result.js';
import { NONE } from '../struct.js';
import { fileIdentity } from '../virtio/guest-memory.js';
import { Connection, type Message, ProtocolError } from './connection.js';
import type { ObjectTransport, SharedMemoryTransport } from './device.js';
import { BackendRequest, HeaderFlags, SharedMemoryFlags, sharedMemoryMap, sharedObject } from './protocol.js';
import { SharedObjects } from './shared-objects.js';
import { type VmmTraits, vmmTraitsOf } from './vmm-traits.js';

/** The most requests that may wait for an answer. More are refused with EBUSY. */
export const MAX_UNANSWERED = 512;
/**
 * Milliseconds. A front-end that sends no answers must read a request within this time. Otherwise the request ends
 * with ETIMEDOUT.
 */
export const BARRIER_TIMEOUT_MS = 1000;
const BARRIER_POLL_MS = 1;
/** The device has one region of shared memory, with id 0. */
const REGION = 0;

type Done = (errno: number) => void;

interface Unanswered {
  readonly request: number;
  readonly deadline: number;
  readonly done: Done;
}

/** The back-end channel of one connection. It outlives the channels that the front-end attaches one after the other. */
export class BackendChannel implements SharedMemoryTransport, ObjectTransport {
  /** Whether all rings run. QEMU crashes when a request comes while they do not; so it is refused with EBUSY. */
  #running = false;
  #size = 0;
  #vmm: VmmTraits = vmmTraitsOf(0n);
  #channel: Connection | null = null;
  /** null: the VMM does not share objects. */
  #objects: SharedObjects | null = null;
  /** In the order of sending. Replies come in the same order; a reply names nothing but the type of its request. */
  #unanswered: Unanswered[] = [];
  #barrier: NodeJS.Timeout | undefined;
  /** Offset in the region -> file that is mapped there. The VMM sends that file back as a region of guest memory. */
  readonly #mapped = new Map<number, string>();
  #abandoned = false;

  /** `onFailure` is called when a `done` threw, `onAbandoned` when the front-end has closed the channel. */
  constructor(
    private readonly onFailure: (error: unknown) => void,
    private readonly onAbandoned: () => void,
  ) {}

  get size(): number {
    return this.#size;
  }

  get survivesReset(): boolean {
    return this.#vmm.survivesReset;
  }

  get prefers(): 'arena' | 'direct' {
    return this.#vmm.prefers;
  }

  /** Whether the front-end has closed the channel and has not sent another one. */
  get abandoned(): boolean {
    return this.#abandoned;
  }

  /**
   * Sets what was negotiated. `size`: bytes of SHM region 0; 0: the VMM maps nothing. `objects`: whether the VMM
   * shares objects.
   */
  configure(vmm: VmmTraits, size: number, objects: boolean): void {
    this.#vmm = vmm;
    this.#size = size;
    this.#objects = objects ? new SharedObjects((...request) => this.#sendObject(...request)) : null;
  }

  /** Called when all rings run. From now on requests are sent. */
  start(): void {
    this.#running = true;
    this.#objects?.flush();
  }

  /** Called when a ring stops. From now on requests are refused. */
  stop(): void {
    this.#running = false;
  }

  /** SET_BACKEND_REQ_FD. Takes ownership of the descriptor. Closes an earlier channel. */
  attach(fd: number): void {
    this.#detach();
    this.#abandoned = false;
    const channel: Connection = new Connection({
      fd,
      carries: 'replies',
      onMessage: (message) => this.#answered(message),
      onEnd: (error) => {
        if (error)
          warnLimited('vhost-user.channel', 'the back-end channel is closed', { why: error.message });
        if (this.#channel !== channel) return;
        this.#detach();
        this.#abandoned = error === null;
        if (this.#abandoned) this.onAbandoned();
      },
    });
    this.#channel = channel;
    this.#objects?.flush();
  }

  /**
   * Ends with EBUSY if not all rings run or the VMM maps nothing, ENOMEM if the VMM takes no more mappings, EIO if it
   * refused, ECONNRESET if the channel is closed, ETIMEDOUT if a VMM that sends no answers has not read the request.
   */
  map(fd: number, fileOffset: number, offset: number, length: number, done: Done): void {
    const { READ_WRITE } = SharedMemoryFlags;
    const place = { fileOffset, offset, length, flags: READ_WRITE };
    this.#place(BackendRequest.SHMEM_MAP, place, [fd], (errno) => {
      if (errno === Errno.EIO) this.#mapped.delete(offset);
      done(errno);
    });
  }

  unmap(offset: number, length: number, done: Done): void {
    if (this.#vmm.mapsZerosOnUnmap) this.#park(offset, length, done);
    else
      this.#place(BackendRequest.SHMEM_UNMAP, { fileOffset: 0, offset, length, flags: 0 }, [], (errno) => {
        if (errno === 0) this.#mapped.delete(offset);
        done(errno);
      });
  }

  addObject(uuid: Uint8Array): void {
    this.#objects?.add(uuid);
  }

  removeObject(uuid: Uint8Array): void {
    this.#objects?.remove(uuid);
  }

  /**
   * Whether this file is mapped in SHM region 0. If guest memory comes from such a file, it is the bridge's own
   * memory that the VMM sends back; the bridge must not map it.
   */
  isMapped(identity: string): boolean {
    for (const mapped of this.#mapped.values()) if (mapped === identity) return true;
    return false;
  }

  /** The guest has reset the device. Some VMMs drop every mapping then. */
  reset(): void {
    if (!this.#vmm.survivesReset) this.#mapped.clear();
  }

  /** Ends every unanswered request with ECONNRESET. */
  close(): void {
    this.stop();
    this.#detach();
  }

  #detach(): void {
    const channel = this.#channel;
    this.#channel = null;
    channel?.close();
    clearTimeout(this.#barrier);
    this.#barrier = undefined;
    for (const { done } of this.#unanswered.splice(0)) this.#call(done, Errno.ECONNRESET);
  }

  #place(
    request: number,
    place: { fileOffset: number; offset: number; length: number; flags: number },
    descriptors: readonly number[],
    done: Done,
  ): void {
    const body = sharedMemoryMap.encode({ id: REGION, pad1: NO_PAD, ...place });
    const isMore = descriptors.length > 0 && !this.#mapped.has(place.offset);
    const refused = this.#size === 0 ? Errno.EBUSY : isMore && this.#isFull() ? Errno.ENOMEM : 0;
    const errno = refused || this.#send(request, body, descriptors, done);
    if (errno !== 0) setImmediate(() => this.#call(done, errno));
    else if (descriptors.length > 0) this.#mapped.set(place.offset, fileIdentity(descriptors[0]!));
  }

  #sendObject(request: number, uuid: Uint8Array, done: Done): number {
    return this.#send(request, sharedObject.encode({ uuid }), [], done);
  }

  /** Returns 0, or an errno if nothing was sent. In that case `done` is not called. */
  #send(request: number, body: Buffer, descriptors: readonly number[], done: Done): number {
    const errno = this.#refusal() || this.#sendNow(request, body, descriptors);
    if (errno !== 0) return errno;
    this.#unanswered.push({ request, deadline: Date.now() + BARRIER_TIMEOUT_MS, done });
    if (!this.#vmm.acks) this.#watchBarrier();
    return 0;
  }

  /** QEMU aborts when one of its devices has more than 512 memory regions. */
  #isFull(): boolean {
    return this.#mapped.size >= this.#vmm.mappings;
  }

  #refusal(): number {
    if (!this.#running || this.#unanswered.length >= MAX_UNANSWERED) return Errno.EBUSY;
    return this.#channel ? 0 : Errno.ECONNRESET;
  }

  /** Returns 0, or an errno if nothing was sent. */
  #sendNow(request: number, body: Buffer, descriptors: readonly number[]): number {
    const channel = this.#channel!;
    const { acks } = this.#vmm;
    // The request is not queued: a queued one could go out after the rings have stopped.
    const errno = channel.send(request, acks ? HeaderFlags.NEED_REPLY : 0, body, descriptors, false);
    // The front-end reads the next message only after it has handled this one. So this one is done when the next one
    // is read.
    if (errno === 0 && !acks) channel.send(BackendRequest.CONFIG_CHANGE, 0, NONE);
    return errno === Errno.EAGAIN ? Errno.EBUSY : errno;
  }

  /** Maps zeros where a buffer was. A guest process that still maps the buffer reads zeros; a hole would end the VM. */
  #park(offset: number, length: number, done: Done): void {
    let fd: number;
    try {
      fd = native.memoryFile('virtio-media-parked', length);
    } catch {
      setImmediate(() => this.#call(done, Errno.ENOMEM));
      return;
    }
    this.map(fd, 0, offset, length, done);
    closeSync(fd);
  }

  #answered({ request, body, descriptors }: Message): void {
    const closed = descriptors.splice(0);
    for (const fd of closed) closeSync(fd);
    const first = this.#vmm.acks ? this.#unanswered[0] : undefined;
    if (first?.request !== request || body.length !== 8 || closed.length > 0)
      throw new ProtocolError('ERR_VHOST_REPLY', `an unexpected reply to request ${request}`);
    this.#unanswered.shift();
    this.#call(first.done, body.every((byte) => byte === 0) ? 0 : Errno.EIO);
    this.#objects?.flush();
  }

  /** For a front-end that never answers (libkrun): a request is done when the message after it has been read. */
  #watchBarrier(): void {
    this.#barrier ??= setTimeout(() => {
      this.#barrier = undefined;
      try {
        this.#passBarrier();
      } catch (error) {
        this.onFailure(error);
      }
      if (this.#unanswered.length > 0) this.#watchBarrier();
    }, BARRIER_POLL_MS);
  }

  #passBarrier(): void {
    const unread = this.#channel?.unreadBytes ?? GONE;
    const isOver = isFailure(unread) || unread === 0;
    const errno = isFailure(unread) ? Errno.ECONNRESET : isOver ? 0 : Errno.ETIMEDOUT;
    const now = Date.now();
    while (this.#unanswered[0] && (isOver || this.#unanswered[0].deadline <= now))
      this.#call(this.#unanswered.shift()!.done, errno);
    this.#objects?.flush();
  }

  #call(done: Done, errno: number): void {
    try {
      done(errno);
    } catch (error) {
      this.onFailure(error);
    }
  }
}

const GONE = failure(Errno.ECONNRESET);
const NO_PAD = new Uint8Array(7);
