/**
 * The kernel's request API: the media device of a node, and the requests of one open file. A request carries the
 * buffer and the control values of one frame to a stateless decoder. Knows no guest.
 */
import { closeSync, constants, open } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Errno, errnoName } from '../errno.js';
import { errorLimited, warnLimited } from '../log.js';
import type { NodeCall } from '../native.js';
import { deviceFolder, hostRoots, type Roots } from './discovery.js';
import { bufferTypesOf, formatsOf, type RunIoctl } from './enumeration.js';
import { Ioctl } from './ioctls.js';
import { statelessFormats } from './kind.js';
import { BufferCapability, BufferType, Memory, requestBuffers } from './layout.js';
import { errnoOf, isLasting, isMomentary, otherwise } from './refusal.js';

/** Requests of one open file, taken and given back together. */
export const MAX_REQUESTS = 32;

/** What a pool calls on: OpenFile. */
export interface RequestCaller {
  call(call: NodeCall): Promise<number> | number;
}

/**
 * Whether OUTPUT buffers must come in requests, from facts that are known without trying: only QBUF's EBADR would
 * say it for certain. `formats`: FOURCCs of the OUTPUT queue; `capabilities`: what REQBUFS says of it.
 */
export function requiresRequests(formats: readonly string[], capabilities: number): boolean {
  const supported = (capabilities & BufferCapability.REQUESTS) !== 0;
  return supported && formats.some((fourcc) => statelessFormats.has(fourcc));
}

/**
 * Whether an OUTPUT queue takes buffers in requests: not, where the guest likes, or in no other way. `unknown`: none of
 * its formats needs them, and more cannot be told now (another program has its buffers, say).
 */
export type RequestNeed = 'none' | 'optional' | 'required' | 'unknown';

/** The queues of a node that might take requests; none: there is nothing to ask. */
export function requestQueues(deviceCaps: number): number[] {
  return bufferTypesOf(deviceCaps).filter((type) => outputTypes.has(type));
}

/** Asks a node. An errno where its formats cannot be told now: they decide. */
export async function requestNeed(ask: RunIoctl, deviceCaps: number): Promise<RequestNeed | number> {
  let need: RequestNeed = 'none';
  for (const type of requestQueues(deviceCaps)) {
    const none = requestBuffers.encode({ ...NO_BUFFERS, type, memory: Memory.MMAP });
    const refused = await ask(Ioctl.REQBUFS, none);
    if (isLasting(refused)) continue;
    // A driver that could not be asked, and has formats that nothing else can feed, takes requests.
    const capabilities = refused === 0 ? requestBuffers.read(none).capabilities : BufferCapability.REQUESTS;
    if ((capabilities & BufferCapability.REQUESTS) === 0) continue;
    let failure = 0;
    const heard: RunIoctl = async (nr, payload) => {
      const errno = await ask(nr, payload);
      if (errno !== 0 && !isLasting(errno)) failure = errno;
      return errno;
    };
    const formats = (await formatsOf(heard, type, false)).map(({ fourcc }) => fourcc);
    if (requiresRequests(formats, capabilities)) return 'required';
    if (failure !== 0) return failure;
    if (need === 'none') need = refused === 0 ? 'optional' : 'unknown';
  }
  return need;
}

const outputTypes: ReadonlySet<number> = new Set([BufferType.VIDEO_OUTPUT, BufferType.VIDEO_OUTPUT_MPLANE]);
const NO_BUFFERS = requestBuffers.read(Buffer.alloc(requestBuffers.size));

/**
 * The media devices beside a node (a path, or a link to it), as files in /dev, by number. sysfs does not say which
 * is the node's where a driver makes several; QBUF refuses the requests of another one with EINVAL. An errno where
 * the node cannot be looked at.
 */
export async function mediaDevices(nodePath: string, roots: Roots = hostRoots): Promise<string[] | number> {
  try {
    const node = await stat(nodePath);
    const parent = node.isCharacterDevice() ? join(deviceFolder(node.rdev, roots), 'device') : '';
    const names = (await readdir(parent).catch(otherwise([]))).filter((name) => /^media\d+$/.test(name));
    const byNumber = names.sort((left, right) => Number(left.slice(5)) - Number(right.slice(5)));
    return await Promise.all(byNumber.map((name) => devicePath(join(parent, name), name, roots)));
  } catch (error) {
    return errnoOf(error);
  }
}

/**
 * Opens the first of them that can be opened; the descriptor is the caller's. ENODEV: there is none. None is passed over
 * because the host was short of something: the next one may be another's.
 */
export async function openMedia(
  nodePath: string,
  roots: Roots = hostRoots,
): Promise<{ readonly fd: number } | number> {
  const paths = await mediaDevices(nodePath, roots);
  if (typeof paths === 'number') return paths;
  let errno: number = Errno.ENODEV;
  for (const path of paths) {
    try {
      return { fd: await promisify(open)(path, constants.O_RDWR) };
    } catch (error) {
      errno = errnoOf(error);
      if (isMomentary(errno)) break;
    }
  }
  return errno;
}

/** A media device that is open. Its descriptor is asked for at each use: it is another one when the device was away. */
export interface OpenMedia {
  readonly fd: number;
}

/** The open media device of a node: another one each time that the node's device comes back. */
export class MediaFile implements OpenMedia {
  #isClosed = false;

  constructor(private current: number) {}

  get fd(): number {
    return this.current;
  }

  /**
   * `nodePath`: where the node is now. Resolves to an errno; where it has no media device that can be opened, the old
   * descriptor stays.
   */
  async reopen(nodePath: string, roots: Roots = hostRoots): Promise<number> {
    const opened = await openMedia(nodePath, roots);
    if (typeof opened === 'number') {
      const fields = { node: nodePath, error: errnoName(opened) };
      warnLimited(`media ${nodePath}`, 'the media device cannot be opened again', fields);
      return opened;
    }
    closeSync(this.#isClosed ? opened.fd : this.current);
    if (!this.#isClosed) this.current = opened.fd;
    return 0;
  }

  /** Twice is harmless. */
  close(): void {
    if (!this.#isClosed) closeSync(this.current);
    this.#isClosed = true;
  }
}

async function devicePath(folder: string, name: string, { dev }: Roots): Promise<string> {
  const uevent = await readFile(join(folder, 'uevent'), 'utf8').catch(otherwise(''));
  return join(dev, /^DEVNAME=(.+)$/m.exec(uevent)?.[1] ?? name);
}

/** On the lane, by the call's own descriptor, which is the last: the kernel takes the driver's locks there. */
export function closeRequest(file: RequestCaller, fd: number): void {
  const close = async () => file.call({ kind: 'closeRequest', request: fd });
  close().catch((error: unknown) => errorLimited('request', 'a request cannot be closed on its lane', error));
  closeSync(fd);
}

/**
 * Requests of one open file. One that is given back is reset when it is taken the next time, not at once: a driver
 * may return the OUTPUT buffer a moment before it completes the request (vicodec does).
 */
export class RequestPool {
  readonly #taken = new Set<number>();
  /** Given back, oldest first. */
  readonly #idle: number[] = [];
  /** Descriptors that are open or about to be. */
  #count = 0;
  #isClosed = false;

  /** `media`: the node's media device, which stays the caller's and open. */
  constructor(
    private readonly file: RequestCaller,
    private readonly media: OpenMedia,
    private readonly limit = MAX_REQUESTS,
  ) {}

  /** An empty request, or an errno: EMFILE where all are taken. The descriptor stays the pool's. */
  async take(): Promise<{ readonly fd: number } | number> {
    for (let fd = this.#idle.shift(); fd !== undefined; fd = this.#idle.shift()) {
      // EBUSY: not complete yet. The kernel keeps it until then without us.
      const errno = await this.file.call({ kind: 'reinitRequest', request: fd });
      if (errno === 0) return this.#lend(fd);
      this.#release(fd);
    }
    if (this.#isClosed) return Errno.EBADF;
    return this.#count < this.limit ? this.#allocate() : Errno.EMFILE;
  }

  /** MEDIA_REQUEST_IOC_QUEUE: runs the driver's buf_prepare. What is wrong with buffer or values is said here. */
  queue(fd: number): Promise<number> | number {
    return this.file.call({ kind: 'queueRequest', request: fd });
  }

  /** Its OUTPUT buffer has come back, by DQBUF or STREAMOFF. Twice is harmless. */
  giveBack(fd: number): void {
    if (this.#taken.delete(fd)) this.#idle.push(fd);
  }

  /** STREAMOFF and REQBUFS have brought every OUTPUT buffer back. */
  giveBackAll(): void {
    for (const fd of [...this.#taken]) this.giveBack(fd);
  }

  /** It was not queued, or QUEUE refused it: its buffer is nobody's again when this resolves. */
  async withdraw(fd: number): Promise<void> {
    if (!this.#taken.delete(fd)) return;
    const errno = await this.file.call({ kind: 'reinitRequest', request: fd });
    if (errno === 0 && !this.#isClosed) this.#idle.push(fd);
    else this.#release(fd);
  }

  /** Closes every request; those that are queued are still carried out. Twice is harmless. */
  close(): void {
    this.#isClosed = true;
    for (const fd of [...this.#taken, ...this.#idle.splice(0)]) this.#release(fd);
  }

  async #allocate(): Promise<{ readonly fd: number } | number> {
    this.#count++;
    const call: NodeCall & { kind: 'allocateRequest' } = { kind: 'allocateRequest', media: this.media.fd };
    const errno = await this.file.call(call);
    if (errno === 0 && call.request !== undefined) return this.#lend(call.request);
    this.#count--;
    return errno || Errno.EIO;
  }

  #lend(fd: number): { readonly fd: number } | number {
    if (this.#isClosed) {
      this.#release(fd);
      return Errno.EBADF;
    }
    this.#taken.add(fd);
    return { fd };
  }

  #release(fd: number): void {
    this.#count--;
    this.#taken.delete(fd);
    closeRequest(this.file, fd);
  }
}
