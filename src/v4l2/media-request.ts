/**
 * The kernel's request API: the media device of a node, and the media requests of one open file. A request carries
 * the buffer and the control values of one frame to a stateless decoder. Knows no guest.
 */
import { closeSync, constants, open } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Errno, errnoName } from '../errno.js';
import { errorLimited, warnLimited } from '../log.js';
import type { NodeCall } from '../native.js';
import { failure, isFailure, type Result } from '../result.js';
import { encoded } from '../struct.js';
import { deviceFolder, hostRoots, type Roots } from './discovery.js';
import { bufferTypesOf, formatsOf, type RunIoctl } from './enumeration.js';
import { Ioctl } from './ioctls.js';
import { statelessFormats } from './kind.js';
import { BufferCapability, BufferType, Memory, requestBuffers } from './layout.js';
import { failureOf, isLasting, isMomentary, otherwise } from './refusal.js';

/** The most media requests of one open file: taken and given-back ones together. */
export const MAX_REQUESTS = 32;

/** Runs a pool's calls. OpenFile is one. */
export interface RequestCaller {
  call(call: NodeCall): Promise<number> | number;
}

/**
 * Whether OUTPUT buffers must come in media requests. The answer comes from facts that are known without a trial;
 * only QBUF's EBADR would make it certain. `formats`: FOURCCs of the OUTPUT queue. `capabilities`: V4L2_BUF_CAP_*
 * that REQBUFS returned for it.
 */
export function requiresRequests(formats: readonly string[], capabilities: number): boolean {
  const supported = (capabilities & BufferCapability.REQUESTS) !== 0;
  return supported && formats.some((fourcc) => statelessFormats.has(fourcc));
}

/**
 * How an OUTPUT queue takes buffers. `none`: not in media requests. `optional`: with or without, as the guest likes.
 * `required`: only in media requests. `unknown`: none of its formats needs requests, and more cannot be known now
 * (for example because another program has buffers of the queue).
 */
export type RequestNeed = 'none' | 'optional' | 'required' | 'unknown';

/** Buffer types of a node that may take media requests. Empty: there is nothing to query. */
export function requestQueues(deviceCaps: number): number[] {
  return bufferTypesOf(deviceCaps).filter((type) => outputTypes.has(type));
}

/** Queries a node. Fails if its formats cannot be read now, because the formats decide. */
export async function requestNeed(ask: RunIoctl, deviceCaps: number): Promise<Result<RequestNeed>> {
  let need: RequestNeed = 'none';
  for (const type of requestQueues(deviceCaps)) {
    const none = encoded(requestBuffers, { type, memory: Memory.MMAP });
    const refused = await ask(Ioctl.REQBUFS, none);
    if (isLasting(refused)) continue;
    // If REQBUFS fails for the moment, its capability is taken as given: the formats decide.
    const capabilities = refused === 0 ? requestBuffers.read(none).capabilities : BufferCapability.REQUESTS;
    if ((capabilities & BufferCapability.REQUESTS) === 0) continue;
    let unread = 0;
    const heard: RunIoctl = async (nr, payload) => {
      const errno = await ask(nr, payload);
      if (errno !== 0 && !isLasting(errno)) unread = errno;
      return errno;
    };
    const formats = (await formatsOf(heard, type, false)).map(({ fourcc }) => fourcc);
    if (requiresRequests(formats, capabilities)) return 'required';
    if (unread !== 0) return failure(unread);
    if (need === 'none') need = refused === 0 ? 'optional' : 'unknown';
  }
  return need;
}

const outputTypes: ReadonlySet<number> = new Set([BufferType.VIDEO_OUTPUT, BufferType.VIDEO_OUTPUT_MPLANE]);

/**
 * The media devices of a node, as paths in /dev, sorted by number. `nodePath`: the node or a link to it. If a driver
 * makes several media devices, sysfs does not say which one is the node's; QBUF refuses requests of another one with
 * EINVAL. Fails if the node cannot be read.
 */
export async function mediaDevices(nodePath: string, roots: Roots = hostRoots): Promise<Result<string[]>> {
  try {
    const node = await stat(nodePath);
    const parent = node.isCharacterDevice() ? join(deviceFolder(node.rdev, roots), 'device') : '';
    const names = (await readdir(parent).catch(otherwise([]))).filter((name) => /^media\d+$/.test(name));
    const byNumber = names.sort((left, right) => Number(left.slice(5)) - Number(right.slice(5)));
    return await Promise.all(byNumber.map((name) => devicePath(join(parent, name), name, roots)));
  } catch (error) {
    return failureOf(error);
  }
}

/**
 * Opens the node's first media device that can be opened. Resolves to its descriptor, which the caller owns. ENODEV:
 * there is none. If the host is short of something, no other one is tried, because it may belong to another node.
 */
export async function openMedia(nodePath: string, roots: Roots = hostRoots): Promise<Result<number>> {
  const paths = await mediaDevices(nodePath, roots);
  if (isFailure(paths)) return paths;
  let failed = failure(Errno.ENODEV);
  for (const path of paths) {
    try {
      return await promisify(open)(path, constants.O_RDWR);
    } catch (error) {
      failed = failureOf(error);
      if (isMomentary(failed.errno)) break;
    }
  }
  return failed;
}

/** An open media device. Read `fd` at each use: it changes when the device was away and came back. */
export interface OpenMedia {
  readonly fd: number;
}

/** The open media device of a node. The descriptor is another one each time the device comes back. */
export class MediaFile implements OpenMedia {
  #isClosed = false;

  constructor(private current: number) {}

  get fd(): number {
    return this.current;
  }

  /**
   * Opens the media device again. `nodePath`: where the node is now. Resolves to an errno; the old descriptor stays
   * if no media device can be opened.
   */
  async reopen(nodePath: string, roots: Roots = hostRoots): Promise<number> {
    const opened = await openMedia(nodePath, roots);
    if (isFailure(opened)) {
      const fields = { node: nodePath, error: errnoName(opened.errno) };
      warnLimited(`media ${nodePath}`, 'the media device cannot be opened again', fields);
      return opened.errno;
    }
    closeSync(this.#isClosed ? opened : this.current);
    if (!this.#isClosed) this.current = opened;
    return 0;
  }

  /** May be called twice. */
  close(): void {
    if (!this.#isClosed) closeSync(this.current);
    this.#isClosed = true;
  }
}

async function devicePath(folder: string, name: string, { dev }: Roots): Promise<string> {
  const uevent = await readFile(join(folder, 'uevent'), 'utf8').catch(otherwise(''));
  return join(dev, /^DEVNAME=(.+)$/m.exec(uevent)?.[1] ?? name);
}

/**
 * Closes a request. The last close must happen on the lane, because there the kernel takes the driver's locks. The
 * call has its own copy of the descriptor, so this one is closed here.
 */
export function closeRequest(file: RequestCaller, fd: number): void {
  const close = async () => file.call({ kind: 'closeRequest', request: fd });
  close().catch((error: unknown) => errorLimited('request', 'a request cannot be closed on its lane', error));
  closeSync(fd);
}

/**
 * The media requests of one open file. A request that is given back is reset when it is taken again, not at once: a
 * driver may return the OUTPUT buffer a moment before it completes the request (vicodec does).
 */
export class RequestPool {
  readonly #taken = new Set<number>();
  /** Given back, oldest first. */
  readonly #idle: number[] = [];
  /** Descriptors that are open, or that are being opened. */
  #count = 0;
  #isClosed = false;

  /** `media`: the node's media device. It stays open, and the caller closes it. */
  constructor(
    private readonly file: RequestCaller,
    private readonly media: OpenMedia,
    private readonly limit = MAX_REQUESTS,
  ) {}

  /**
   * Resolves to the descriptor of an empty request. EMFILE: all are taken. EBADF: the pool is closed. The pool owns
   * the descriptor.
   */
  async take(): Promise<Result<number>> {
    for (let fd = this.#idle.shift(); fd !== undefined; fd = this.#idle.shift()) {
      // EBUSY: the request is not complete yet. The kernel keeps it until then, even after we close it.
      const errno = await this.file.call({ kind: 'reinitRequest', request: fd });
      if (errno === 0) return this.#lend(fd);
      this.#release(fd);
    }
    if (this.#isClosed) return failure(Errno.EBADF);
    return this.#count < this.limit ? this.#allocate() : failure(Errno.EMFILE);
  }

  /** MEDIA_REQUEST_IOC_QUEUE. It runs the driver's buf_prepare, so it returns the errno for a wrong buffer or value. */
  queue(fd: number): Promise<number> | number {
    return this.file.call({ kind: 'queueRequest', request: fd });
  }

  /** The request's OUTPUT buffer has come back, by DQBUF or STREAMOFF. May be called twice. */
  giveBack(fd: number): void {
    if (this.#taken.delete(fd)) this.#idle.push(fd);
  }

  /** STREAMOFF or REQBUFS has brought every OUTPUT buffer back. */
  giveBackAll(): void {
    for (const fd of [...this.#taken]) this.giveBack(fd);
  }

  /** Takes back a request that was not queued, or that QUEUE refused. When this resolves, it has no buffer any more. */
  async withdraw(fd: number): Promise<void> {
    if (!this.#taken.delete(fd)) return;
    const errno = await this.file.call({ kind: 'reinitRequest', request: fd });
    if (errno === 0 && !this.#isClosed) this.#idle.push(fd);
    else this.#release(fd);
  }

  /** Closes every request. The kernel still carries out those that are queued. May be called twice. */
  close(): void {
    this.#isClosed = true;
    for (const fd of [...this.#taken, ...this.#idle.splice(0)]) this.#release(fd);
  }

  async #allocate(): Promise<Result<number>> {
    this.#count++;
    const call: NodeCall & { kind: 'allocateRequest' } = { kind: 'allocateRequest', media: this.media.fd };
    const errno = await this.file.call(call);
    if (errno === 0 && call.request !== undefined) return this.#lend(call.request);
    this.#count--;
    return failure(errno || Errno.EIO);
  }

  #lend(fd: number): Result<number> {
    if (this.#isClosed) {
      this.#release(fd);
      return failure(Errno.EBADF);
    }
    this.#taken.add(fd);
    return fd;
  }

  #release(fd: number): void {
    this.#count--;
    this.#taken.delete(fd);
    closeRequest(this.file, fd);
  }
}
