/** The host node and its open files: typed calls to the addon. None of them runs on the loop. Knows no guest. */
import { stat } from 'node:fs/promises';
import { Errno, errnoName } from '../errno.js';
import { type NodeCall, type NodeFile, native } from '../native.js';
import { failure, isFailure, type Result } from '../result.js';
import { describeNode, type NodeDescription } from './description.js';
import { type Holders, holdersOf } from './holders.js';
import { isSameDevice } from './identity.js';
import { Location } from './location.js';
import { NodeReports } from './node-reports.js';
import { isAbsent, openFailureOf } from './open-failure.js';
import { errnoOf, failureOf, isLasting, isMomentary } from './refusal.js';
import { within } from './time-limit.js';
import { type Lack, lackOf, type ToldNode } from './told-node.js';

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
  /** Facts about the driver that were found by trying. All sessions share them. They end when the node changes. */
  readonly traits = new Map<string, boolean>();
  /**
   * The device is back at this path. Called before the session that found it gets its answer. OPEN answers the errno
   * that this resolves to. It is called again at each OPEN until the errno is 0.
   */
  onReturn: (path: string) => Promise<number> = async () => 0;
  /** Files of this process on the node that are open or not closed yet. */
  readonly #files = new Set<OpenFile>();
  #unheard: string | null = null;
  #location: Location | null = null;
  #description: NodeDescription | null = null;
  #looking: Promise<void> | null = null;
  readonly #reports = new NodeReports(this);

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

  /**
   * Opens the node wherever it is, reads what it is now, and closes it. Logs no refusal. A failure: that is not
   * possible.
   */
  look(): Promise<Result<NodeDescription>> {
    const file = this.open(() => undefined);
    const found = file.find();
    const looking = found
      .then(() => file.close())
      .finally(() => {
        if (this.#looking === looking) this.#looking = null;
      });
    this.#looking = looking;
    return looking.then(() => found);
  }

  /** Resolves when no look has the node open. A driver may allow only one open file. */
  async looked(): Promise<void> {
    await this.#looking;
  }

  /** Whether QUERYCAP of a file that was found again may be that of the described device. */
  recognises(found: NodeDescription): boolean {
    return isSameDevice(this.#description ?? found, found, this.#location?.sought ?? 'path');
  }

  /** Records what the node is now. */
  describes(found: NodeDescription): void {
    const known = this.#description;
    if (known && (known.card !== found.card || known.deviceCaps !== found.deviceCaps)) this.traits.clear();
    if (known && known.card !== found.card) this.#reports.replaced(found);
    this.#description = found;
  }

  /**
   * Whether a guest may open the node although it lacks something: a guest that sends to v4l2loopback makes the node a
   * capture device itself. If not, that is logged. `file` has the node open.
   */
  excuses(lack: Lack | null, now: NodeDescription, file: OpenFile): boolean {
    if (!lack || (lack.isOutput && [...this.#files].some((other) => other !== file))) {
      this.#reports.fits();
      return true;
    }
    this.#reports.lack(lack.text, now, this.#location?.isVirtual ?? false);
    return false;
  }

  /** Records whether a file of this process is open. */
  holds(file: OpenFile, isOpen: boolean): void {
    if (isOpen) this.#files.add(file);
    else this.#files.delete(file);
  }

  /** The node was found again, at `path`. */
  returned(path: string): void {
    this.traits.clear();
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
    this.#reports.openFailed(errno, this.#location?.absence ?? '', this.#description);
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
  #isOpen = false;
  #closed: Promise<void> | null = null;

  constructor(
    private readonly node: HostNode,
    private readonly onReady: (events: number) => void,
  ) {
    this.#file = new native.NodeFile(onReady);
  }

  /**
   * Opens the node, wherever its device is now. Resolves to an errno. ENODEV: the device is unplugged, or another
   * device has its place. ENXIO: the node cannot do now what the guest was told (`told`). V4L2's open(2) has both: ENXIO
   * is the one of a file without a device behind it, and a program that gets it may try again. If the node is not
   * described, its path is opened.
   */
  async open(told?: ToldNode): Promise<number> {
    if (!this.node.location) return this.#openAt(this.node.path);
    await this.node.looked();
    const found = await this.find();
    if (isFailure(found)) {
      if (!this.#closed) this.node.reportRefusal(found.errno);
      return found.errno;
    }
    const lack = told ? await lackOf(told, found, (nr, payload) => this.ioctl(nr, payload)) : null;
    if (!this.node.excuses(lack, found, this)) {
      await this.#discard();
      return Errno.ENXIO;
    }
    const unsettled = await this.node.settleReturn();
    if (unsettled !== 0) await this.#discard();
    return unsettled;
  }

  /** Opens the node and reads what it is now. A failure: the file is not open. Logs no refusal. */
  async find(): Promise<Result<NodeDescription>> {
    const found = await this.#find().catch(failureOf);
    if (!isFailure(found)) {
      this.node.describes(found);
      return found;
    }
    if (this.#isOpen) await this.#discard();
    return isAbsent(found.errno) ? failure(Errno.ENODEV) : found;
  }

  async #find(): Promise<Result<NodeDescription>> {
    const { location, path } = this.node;
    if (!location) return this.#described(await this.#openAt(path), path);
    await location.follow();
    if (location.isCurrent()) {
      const errno = await this.#openAt(location.path);
      // While the file is open, no other device has its number.
      if (location.isCurrent()) return this.#described(errno, location.path);
      if (errno === 0) await this.#discard();
    }
    return this.#findAgain(location);
  }

  async #findAgain(location: Location): Promise<Result<NodeDescription>> {
    const path = await location.search();
    if (isFailure(path)) return path;
    if (this.#closed) return failure(Errno.ENODEV);
    const found = await this.#described(await this.#openAt(path), path);
    if (isFailure(found)) return isLasting(found.errno) ? location.refused(path) : found;
    if (!this.node.recognises(found) || !(await location.verify(path))) return location.refused(path);
    if (location.moved(path)) this.node.returned(path);
    return found;
  }

  /** What the node is that was opened at `path`. `opened`: the errno of that. */
  async #described(opened: number, path: string): Promise<Result<NodeDescription>> {
    return opened === 0 ? describeNode((nr, payload) => this.ioctl(nr, payload), path) : failure(opened);
  }

  #openAt(path: string): Promise<number> {
    return new Promise((resolve) =>
      this.#file.open(path, (errno) => {
        this.#isOpen = errno === 0;
        if (errno === 0) this.node.holds(this, true);
        resolve(errno);
      }),
    );
  }

  /** Closes what was opened. Makes a new file unless close() was called. */
  async #discard(): Promise<void> {
    await new Promise<void>((resolve) => this.#file.close(resolve));
    this.#isOpen = false;
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

  /** The file as the addon knows it. open() may exchange it. */
  get native(): NodeFile {
    return this.#file;
  }

  /** Closes the file after all submitted calls. Resolves when the kernel has closed it. */
  close(): Promise<void> {
    this.#closed ??= new Promise<void>((resolve) => this.#file.close(resolve)).then(() =>
      this.node.holds(this, false),
    );
    return this.#closed;
  }
}
