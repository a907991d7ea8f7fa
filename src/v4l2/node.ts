/** The host node and its open files: typed calls over the addon, none of them on the loop. Knows no guest. */
import { readlinkSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { Errno, errnoName } from '../errno.js';
import { type NodeCall, type NodeFile, native } from '../native.js';
import { deviceFolder } from './discovery.js';
import { Ioctl } from './ioctls.js';
import { capability } from './layout.js';

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

/** One `/dev/videoN`, shared by all sessions. */
export class HostNode {
  /** What was found out about the driver by trying, for all sessions. */
  readonly traits = new Map<string, boolean>();

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

  #deviceType(): number {
    const name = basename(readlinkSync(deviceFolder(statSync(this.path).rdev)));
    return deviceTypes.find(([pattern]) => pattern.test(name))?.[1] ?? 0;
  }
}

/** One open file on a node. Calls keep their order. */
export class OpenFile {
  readonly #file: NodeFile;
  #closed: Promise<void> | null = null;

  constructor(
    private readonly node: HostNode,
    onReady: (events: number) => void,
  ) {
    this.#file = new native.NodeFile(onReady);
  }

  open(): Promise<number> {
    return new Promise((resolve) => this.#file.open(this.node.path, resolve));
  }

  /**
   * Runs the call on the lane after everything before it; resolves to its errno. Never on the loop, however short it
   * usually is: another program of the host may hold a lock of the node, or the device hang, and nothing says so before.
   */
  call(call: NodeCall): Promise<number> {
    return new Promise((resolve) => this.#file.submit(call, resolve));
  }

  /** A pointer-free ioctl; the payload comes back in place. */
  ioctl(nr: number, payload: Uint8Array): Promise<number> {
    return this.call({ kind: 'ioctl', nr, payload });
  }

  /** Closes after everything submitted; resolves when the kernel has closed the file. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => this.#file.close(() => resolve()));
    return this.#closed;
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
