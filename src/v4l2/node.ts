/**
 * The host node and its open files: typed calls over the addon, and the rule of when a call may run
 * on the loop. Knows no guest.
 */
import { readlinkSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { Errno, errnoName } from '../errno.js';
import { type NodeCall, type NodeFile, native } from '../native.js';
import { deviceFolder } from './discovery.js';
import { Ioctl, type Speed } from './ioctls.js';
import { capability } from './layout.js';

/** An inline call slower than this says that somebody holds one of the node's locks. */
const SLOW_INLINE_MS = 2;
/** For how long after a slow inline call everything goes to the lane. */
const CAUTION_MS = 1000;
/** How long opening a node and reading its capabilities may take at start. */
const QUERY_TIMEOUT_MS = 10_000;

/** What QUERYCAP says, and the VFL_TYPE_* of the node. */
export interface NodeDescription {
  readonly driver: string;
  readonly card: string;
  readonly busInfo: string;
  readonly deviceCaps: number;
  readonly deviceType: number;
}

/** A node that cannot be opened or queried: `errno` and a sentence. */
export class NodeError extends Error {
  constructor(
    readonly errno: number,
    message: string,
  ) {
    super(message);
    this.name = 'NodeError';
  }
}

/** VFL_TYPE_* by the node's name in sysfs: what the guest registers its own node as. */
const deviceTypes: readonly (readonly [RegExp, number])[] = [
  [/^video\d+$/, 0],
  [/^vbi\d+$/, 1],
  [/^radio\d+$/, 2],
  [/^swradio\d+$/, 4],
  [/^v4l-touch\d+$/, 5],
];

/** One `/dev/videoN`, shared by all sessions: whether calls on it are harmless at the moment. */
export class HostNode {
  /** Calls submitted to any lane of this node and not completed. */
  #inFlight = 0;
  /** What was found out about the driver by trying, for all sessions. */
  readonly traits = new Map<string, boolean>();
  #cautiousUntil = 0;

  /** `path`: of the node, or /proc/self/fd/N for an inherited descriptor. */
  constructor(readonly path: string) {}

  /** Opens a file of its own; the completion says whether it worked. */
  open(onReady: (events: number) => void): OpenFile {
    return new OpenFile(this, onReady);
  }

  /** Opens the node for a moment and reads what it is. Throws NodeError. */
  async describe(): Promise<NodeDescription> {
    const file = this.open(() => undefined);
    try {
      const errno = await within(QUERY_TIMEOUT_MS, file.open());
      if (errno !== 0) throw new NodeError(errno, `${this.path} cannot be opened: ${errnoName(errno)}`);
      const payload = Buffer.alloc(capability.size);
      const refused = await within(QUERY_TIMEOUT_MS, file.ioctl(Ioctl.QUERYCAP, payload));
      if (refused !== 0)
        throw new NodeError(refused, `${this.path} is not a V4L2 node: ${errnoName(refused)}`);
      const { driver, card, busInfo, deviceCaps } = capability.read(payload);
      return { driver, card, busInfo, deviceCaps, deviceType: this.#deviceType() };
    } finally {
      await within(
        QUERY_TIMEOUT_MS,
        file.close().then(() => 0),
      );
    }
  }

  /** Nothing in flight on any lane, and no inline call was slow lately (another process may hold a lock). */
  isQuiet(): boolean {
    return this.#inFlight === 0 && performance.now() >= this.#cautiousUntil;
  }

  /** Runs an inline call and watches how long it took. */
  timed(run: () => number): number {
    const started = performance.now();
    const errno = run();
    const ended = performance.now();
    if (ended - started > SLOW_INLINE_MS) this.#cautiousUntil = ended + CAUTION_MS;
    return errno;
  }

  entered(): void {
    this.#inFlight++;
  }

  left(): void {
    this.#inFlight--;
  }

  #deviceType(): number {
    const name = basename(readlinkSync(deviceFolder(statSync(this.path).rdev)));
    return deviceTypes.find(([pattern]) => pattern.test(name))?.[1] ?? 0;
  }
}

/** One open file on a node. Calls keep their order. */
export class OpenFile {
  readonly #file: NodeFile;
  #pending = 0;
  #closed: Promise<void> | null = null;

  constructor(
    private readonly node: HostNode,
    onReady: (events: number) => void,
  ) {
    this.#file = new native.NodeFile(onReady);
  }

  open(): Promise<number> {
    return this.#tracked((done) => this.#file.open(this.node.path, done));
  }

  /** Runs the call inline where that is harmless and keeps the order, else on the lane. Resolves to its errno. */
  call(call: NodeCall, speed: Speed): Promise<number> | number {
    if (speed === 'fast' && this.#pending === 0 && this.node.isQuiet()) {
      return this.node.timed(() => this.#file.run(call));
    }
    return this.#tracked((done) => this.#file.submit(call, done));
  }

  /** A pointer-free ioctl; the payload comes back in place. */
  ioctl(nr: number, payload: Uint8Array, speed: Speed = 'slow'): Promise<number> | number {
    return this.call({ kind: 'ioctl', nr, payload }, speed);
  }

  /** Closes after everything submitted; resolves when the kernel has closed the file. */
  close(): Promise<void> {
    this.#closed ??= this.#tracked((done) => this.#file.close(() => done(0))).then(() => undefined);
    return this.#closed;
  }

  #tracked(start: (done: (errno: number) => void) => void): Promise<number> {
    this.#pending++;
    this.node.entered();
    return new Promise((resolve) =>
      start((errno) => {
        this.#pending--;
        this.node.left();
        resolve(errno);
      }),
    );
  }
}

/** `work`, or ETIMEDOUT after `ms`. The work itself goes on. */
async function within(ms: number, work: Promise<number> | number): Promise<number> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<number>((resolve) => {
    timer = setTimeout(() => resolve(Errno.ETIMEDOUT), ms);
  });
  try {
    return await Promise.race([work, expired]);
  } finally {
    clearTimeout(timer);
  }
}
