/** The host node and its open files: typed calls to the addon. None of them runs on the loop. Knows no guest. */
import { stat } from 'node:fs/promises';
import pTimeout from 'p-timeout';
import { Errno, errnoName } from '../errno.js';
import { warnLimited } from '../log.js';
import { type NodeCall, type NodeFile, native } from '../native.js';
import { isFailure, type Result } from '../result.js';
import { describeNode, type NodeDescription } from './description.js';
import { type Holders, holdersOf } from './holders.js';
import { compare, type Verdict } from './identity.js';
import { Location } from './location.js';
import { NodeReports } from './node-reports.js';
import { isAbsent, openFailureOf } from './open-failure.js';
import { errnoOf, failureOf, isLasting, isMomentary } from './refusal.js';

/** The most milliseconds that each step may take when a node is opened and described at start. */
const QUERY_TIMEOUT_MS = 10_000;

/** A node cannot be opened or queried: `errno` and a sentence. */
export class NodeError extends Error {
  constructor(
    readonly errno: number,
    message: string,
  ) {
    super(message);
    this.name = 'NodeError';
  }
}

/** One `/dev/videoN`, shared by all sessions. */
export class HostNode {
  /** Facts about the driver that were found by trying. All sessions share them. */
  readonly traits = new Map<string, boolean>();
  /**
   * The device is back at this path. Called before the session that found it gets its answer. OPEN answers the errno
   * that this resolves to. It is called again at each OPEN until the errno is 0.
   */
  onReturn: (path: string) => Promise<number> = async () => 0;
  /** Files of this process on the node that are open or not closed yet. */
  readonly #files = new Set<OpenFile>();
  #unheard: string | null = null;
  readonly #reports = new NodeReports(this);
  #location: Location | null = null;
  #description: NodeDescription | null = null;

  /** `path`: path of the node, or /proc/self/fd/N for an inherited descriptor. */
  constructor(readonly path: string) {}

  /** Where the node is. null: it is not described yet, and is only known by its path. */
  get location(): Location | null {
    return this.#location;
  }

  /** A new file on the node. It is not open yet: OpenFile.open() opens it. `onReady`: epoll events of the file. */
  open(onReady: (events: number) => void): OpenFile {
    return new OpenFile(this, onReady);
  }

  /**
   * Opens the node, reads what it is, and closes it. Later no other device is opened in its place. Throws NodeError.
   */
  async describe(): Promise<NodeDescription> {
    const file = this.open(() => undefined);
    try {
      const errno = await within(QUERY_TIMEOUT_MS, file.open());
      if (errno !== 0) throw new NodeError(errno, `${this.path} cannot be opened: ${errnoName(errno)}`);
      const query = (nr: number, payload: Uint8Array) => within(QUERY_TIMEOUT_MS, file.ioctl(nr, payload));
      const description = await describeNode(query, this.path);
      if (isFailure(description)) {
        const { errno } = description;
        const what = isLasting(errno) ? 'is not a V4L2 node' : 'cannot be queried';
        throw new NodeError(errno, `${this.path} ${what}: ${errnoName(errno)}`);
      }
      this.#location = await Location.of(this.path).catch((error) => {
        const errno = errnoOf(error);
        if (!isMomentary(errno)) throw new NodeError(Errno.ENODEV, `${this.path} is gone`);
        throw new NodeError(errno, `${this.path} cannot be looked at: ${errnoName(errno)}`);
      });
      this.#description = description;
      return description;
    } finally {
      await within(
        QUERY_TIMEOUT_MS,
        file.close().then(() => 0),
      );
    }
  }

  /** Finds out whether an open file is the described node. A failure: it cannot be described. */
  async recognise(file: OpenFile, path: string): Promise<Result<Verdict>> {
    const query = async (nr: number, payload: Uint8Array) => file.ioctl(nr, payload);
    const found = await describeNode(query, path).catch(failureOf);
    if (isFailure(found)) return found;
    return compare(this.#description ?? found, found, this.#location?.mark ?? 'port');
  }

  /** Records whether a file of this process is open. */
  holds(file: OpenFile, isOpen: boolean): void {
    if (isOpen) this.#files.add(file);
    else this.#files.delete(file);
  }

  /** The node was found again, at `path`. */
  returned(path: string): void {
    this.#unheard = path;
  }

  /** Calls onReturn if a return is unannounced. Resolves to an errno. */
  async settleReturn(): Promise<number> {
    const path = this.#unheard;
    if (path === null) return 0;
    const errno = await this.onReturn(path);
    if (errno === 0 && this.#unheard === path) this.#unheard = null;
    return errno;
  }

  /** Logs what the operator should know if a guest cannot open the node. */
  reportRefusal(errno: number): void {
    // The guest's own files may be the reason: /proc does not show a file whose close(2) waits.
    if (openFailureOf(errno) === 'busy' && this.#files.size > 0) return;
    this.#reports.openFailed(errno, this.#description);
  }

  /** A session got EBUSY, and not because of this process: logs which other program has buffers of the node. */
  reportBusy(): void {
    this.#reports.ioctlBusy();
  }

  /** Which other processes of the host have the node open. Rejects if the node is gone. */
  async holders(): Promise<Holders> {
    return holdersOf((await stat(this.#location?.path ?? this.path)).rdev);
  }
}

/** One open file on a node. Calls run in order. */
export class OpenFile {
  #file: NodeFile;
  #closed: Promise<void> | null = null;

  constructor(
    private readonly node: HostNode,
    private readonly onReady: (events: number) => void,
  ) {
    this.#file = new native.NodeFile(onReady);
  }

  /**
   * Opens the node, wherever its device is now. Resolves to an errno; ENODEV: the device is unplugged, or another
   * device has its place. If the node is not described, its path is opened.
   */
  async open(): Promise<number> {
    const { location } = this.node;
    if (!location) return this.#openAt(this.node.path);
    const errno = await this.#openLocated(location);
    if (errno !== 0 && !this.#closed) this.node.reportRefusal(errno);
    if (errno !== 0) return errno;
    const unsettled = await this.node.settleReturn();
    if (unsettled !== 0) await this.#discard();
    return unsettled;
  }

  async #openLocated(location: Location): Promise<number> {
    if (location.isCurrent()) {
      const errno = await this.#openAt(location.path);
      // While the file is open, no other device has its number.
      if (location.isCurrent()) return errno;
      if (errno === 0) await this.#discard();
    }
    const path = await location.search();
    if (isFailure(path)) return path.errno;
    if (this.#closed) return Errno.ENODEV;
    const errno = await this.#openAt(path);
    if (errno !== 0) return isAbsent(errno) ? Errno.ENODEV : errno;
    const verdict = await this.node.recognise(this, path);
    if (verdict !== 'same') return this.#refuse(path, verdict);
    if (location.moved(path)) this.node.returned(path);
    return 0;
  }

  #openAt(path: string): Promise<number> {
    return new Promise((resolve) =>
      this.#file.open(path, (errno) => {
        if (errno === 0) this.node.holds(this, true);
        resolve(errno);
      }),
    );
  }

  async #refuse(path: string, verdict: Result<Verdict>): Promise<number> {
    await this.#discard();
    if (verdict === 'changed')
      warnLimited(
        `changed ${path}`,
        'the device came back with other capabilities than the guest was told: start the bridge and the VM anew',
        {
          device: this.node.path,
          at: path,
        },
      );
    return isFailure(verdict) && !isAbsent(verdict.errno) ? verdict.errno : Errno.ENODEV;
  }

  /** Closes what was opened. Makes a new file unless close() was called. */
  async #discard(): Promise<void> {
    await new Promise<void>((resolve) => this.#file.close(resolve));
    this.node.holds(this, false);
    if (!this.#closed) this.#file = new native.NodeFile(this.onReady);
  }

  /**
   * Runs the call on the lane, after all earlier calls. Resolves to its errno. No call runs on the loop, even if it
   * is usually short: another program of the host may hold a lock of the node, or the device may hang, and nothing
   * tells so before.
   */
  call(call: NodeCall): Promise<number> {
    return new Promise((resolve) => this.#file.submit(call, resolve));
  }

  /** A pointer-free ioctl. The result is written into `payload`. Resolves to an errno. */
  ioctl(nr: number, payload: Uint8Array): Promise<number> {
    return this.call({ kind: 'ioctl', nr, payload });
  }

  /** Closes the file after all submitted calls. Resolves when the kernel has closed it. */
  close(): Promise<void> {
    this.#closed ??= new Promise<void>((resolve) => this.#file.close(resolve)).then(() =>
      this.node.holds(this, false),
    );
    return this.#closed;
  }
}

/** The result of `work`, or ETIMEDOUT after `milliseconds`. The work itself goes on. */
function within(milliseconds: number, work: Promise<number>): Promise<number> {
  return pTimeout(work, { milliseconds, fallback: () => Errno.ETIMEDOUT });
}
