/** The host node and its open files: typed calls to the addon. None of them runs on the loop. Knows no guest. */
import { stat } from 'node:fs/promises';
import pTimeout from 'p-timeout';
import { Errno, errnoName } from '../errno.js';
import { log, warnLimited } from '../log.js';
import { type NodeCall, type NodeFile, native } from '../native.js';
import { describeNode, type NodeDescription } from './description.js';
import { type Holders, holdersOf, holdersText, mappersOf } from './holders.js';
import { compare, type Verdict } from './identity.js';
import { Location } from './location.js';
import { isAbsent, type OpenFailure, openFailureOf } from './open-failure.js';
import { errnoOf, isLasting, isMomentary } from './refusal.js';

/** The most milliseconds that each step may take when a node is opened and described at start. */
const QUERY_TIMEOUT_MS = 10_000;
/** Milliseconds between two searches of the host's processes for those that have the node open. */
const HOLDERS_INTERVAL_MS = 5000;

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
  #holdersDue = 0;
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
      if (typeof description === 'number') {
        const what = isLasting(description) ? 'is not a V4L2 node' : 'cannot be queried';
        throw new NodeError(description, `${this.path} ${what}: ${errnoName(description)}`);
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

  /** Finds out whether an open file is the described node. Resolves to an errno if QUERYCAP fails. */
  async recognise(file: OpenFile, path: string): Promise<Verdict | number> {
    const query = async (nr: number, payload: Uint8Array) => file.ioctl(nr, payload);
    const found = await describeNode(query, path);
    if (typeof found === 'number') return found;
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
    const isBusy = openFailureOf(errno) === 'busy';
    if (isBusy && this.#files.size > 0) return;
    if (isBusy) return this.#reportHolders(openersOf);
    const cure = openCures[openFailureOf(errno)] ?? 'see dmesg';
    warnLimited(`open ${this.path}`, `a guest cannot open the node (${errnoName(errno)}): ${cure}`, {
      device: this.path,
      card: this.#description?.card,
      busInfo: this.#description?.busInfo,
    });
  }

  /** A session got EBUSY, and not because of this process: logs which other program has buffers of the node. */
  reportBusy(): void {
    this.#reportHolders(streamersOf);
  }

  /** Logs the sentence, at most once in five seconds. null: nothing is known, so nothing is logged. */
  #reportHolders(sentence: (found: Holders) => string | null): void {
    const now = performance.now();
    if (now < this.#holdersDue) return;
    this.#holdersDue = now + HOLDERS_INTERVAL_MS;
    this.holders().then(
      (found) => {
        const said = sentence(found);
        if (said !== null) log.warn(`the guest was told EBUSY: ${said}`, { device: this.path });
      },
      (error) =>
        log.debug('the holders of the node cannot be read', { device: this.path, error: String(error) }),
    );
  }

  /** Which other processes of the host have the node open. Rejects if the node is gone. */
  async holders(): Promise<Holders> {
    return holdersOf((await stat(this.#location?.path ?? this.path)).rdev);
  }
}

/**
 * EBUSY of open(2): the driver takes no more files, so a process that has one is the reason. null: it may be the
 * guest.
 */
function openersOf(found: Holders): string | null {
  if (found.own) return null;
  if (found.holders.length > 0) return `${holdersText(found)} has the node`;
  return found.hidden
    ? 'who has the node cannot be seen by this user (run as root to see)'
    : 'no other program is seen to have the node: see dmesg';
}

/**
 * EBUSY of an ioctl: a process with the node open is not the reason, a process with its buffers is. null: none is
 * seen.
 */
function streamersOf(found: Holders): string | null {
  const mappers = mappersOf(found);
  return mappers.holders.length > 0 ? `${holdersText(mappers)} has buffers of the node mapped` : null;
}

/** What the operator can do if a guest cannot open the node. */
const openCures: Partial<Record<OpenFailure, string>> = {
  'not permitted':
    'this user needs read and write permission on it again (chgrp video, chmod 0660; a udev rule makes it last)',
  forbidden: 'the container or unit must allow char-video4linux devices',
  'process full': 'this process has as many descriptors as it may: raise LimitNOFILE',
  'host full': 'the host has as many open files as it may: raise fs.file-max',
  gone: 'its device is unplugged, or another one has its place: plug the same one in again, into the same port',
};

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
    const path = await location.search().catch(errnoOf);
    if (typeof path === 'number') return path;
    if (path === null || this.#closed) return Errno.ENODEV;
    const errno = await this.#openAt(path);
    if (errno !== 0) return isAbsent(errno) ? Errno.ENODEV : errno;
    const verdict = await this.node.recognise(this, path).catch(errnoOf);
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

  async #refuse(path: string, verdict: Verdict | number): Promise<number> {
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
    return typeof verdict === 'number' && !isAbsent(verdict) ? verdict : Errno.ENODEV;
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
