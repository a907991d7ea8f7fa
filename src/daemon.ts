/** Builds everything for its pairs of node and socket, top to bottom. Only this file knows all layers. */
import { closeSync } from 'node:fs';
import pTimeout from 'p-timeout';
import { Errno, errnoName } from './errno.js';
import { log, warnLimited } from './log.js';
import { MediaDevice } from './media/device.js';
import { ObjectTable } from './media/memory/object-table.js';
import type { MmapMode } from './media/memory/shared-memory.js';
import type { Policy } from './media/policy.js';
import type { RequestSupport } from './media/session-context.js';
import { accessCure } from './privileges.js';
import { isFailure } from './result.js';
import { closeSockets, openedBefore, type SocketSource, socketError } from './sockets.js';
import { mediaFailure, nodeFailure, StartError } from './start-error.js';
import type { NodeDescription } from './v4l2/description.js';
import { holdersText } from './v4l2/holders.js';
import { isUsable } from './v4l2/kind.js';
import { MediaFile, openMedia, type RequestNeed, requestNeed, requestQueues } from './v4l2/media-request.js';
import { HostNode, NodeError } from './v4l2/node.js';
import { openFailureOf } from './v4l2/open-failure.js';
import { probeFile } from './v4l2/probe-file.js';
import { isMomentary } from './v4l2/refusal.js';
import { Backend } from './vhost-user/backend.js';
import { Listener, peerProcess, type SocketFile } from './vhost-user/listener.js';
import type { VmmOption } from './vhost-user/vmm-traits.js';
import { Turn } from './virtio/turn.js';

export type { SocketSource } from './sockets.js';
export { StartError } from './start-error.js';
export type { SocketFile } from './vhost-user/listener.js';

export type RequestMode = 'auto' | 'handles' | 'off';

export interface ServePair {
  /** The path of the node, or an inherited descriptor of it. */
  readonly device: string | number;
  readonly socket: SocketSource;
  /** The name that the guest sees, at most MAX_CARD_BYTES of UTF-8. Absent: that of the driver. */
  readonly card?: string;
}

export interface ServeOptions {
  readonly pairs: readonly ServePair[];
  /** Bytes of SHM region 0: a power of two of at least 64 KiB. 0: there is no region. */
  readonly sharedMemorySize: number;
  readonly mmap: MmapMode;
  /** What the guest of each node may do. Absent: everything that virtio-media has. */
  readonly policy?: Policy;
  readonly frontend: VmmOption;
  readonly memSlots: boolean;
  /** Buffers are objects that other devices of the VM may use: EXPBUF and the OBJECT memory type. */
  readonly objects: boolean;
  /** The guest may use its own pages as buffers. */
  readonly sharedPages: boolean;
  /** The guest also gets an error event when the device is lost. */
  readonly errorEvents: boolean;
  /**
   * Who makes the media requests that a stateless codec needs. auto: the bridge makes implicit requests; handles: the
   * guest, with request handles; off: nobody.
   */
  readonly requests: RequestMode;
  /** Mode and owner of the sockets that are made at a path. Absent: 0600 and this process's user. */
  readonly socketFile?: SocketFile;
  /** The ids of the users whose processes may connect to a listening socket. Absent: every process that can. */
  readonly allowUids?: readonly number[];
  /** Called when the connection of an inherited connected socket has ended. */
  readonly onEnd?: () => void;
}

/** The media requests of one node. Its media device stays open until the service stops. */
interface NodeRequests extends RequestSupport {
  readonly media: MediaFile;
}

/** How long stop() waits for files whose close waits for the hardware. */
const STOP_GRACE_MS = 500;

/** Serves all pairs of node and socket, on one loop. */
export class Daemon {
  readonly #services: Service[] = [];
  /** Shared by all nodes, because a buffer of one node may be queued to another. */
  readonly #objects: ObjectTable | undefined;
  /** Shared by all services, because they run on the same loop. */
  readonly #turn = new Turn();

  constructor(private readonly options: ServeOptions) {
    if (options.objects) this.#objects = new ObjectTable();
  }

  /** Opens every node and socket. If one fails, it closes all and rejects with StartError. */
  async start(): Promise<void> {
    try {
      for (const pair of this.options.pairs) {
        const service = await Service.open(pair, this.options, this.#turn, this.#objects);
        this.#services.push(service);
        service.start();
      }
    } catch (error) {
      await this.stop();
      const unserved = this.options.pairs.slice(this.#services.length);
      closeSockets(openedBefore(unserved.map(({ socket }) => socket)));
      throw error;
    }
  }

  /**
   * Ends connections and sessions. Resolves when every file of every connection, also of earlier ones, is closed. After
   * STOP_GRACE_MS it resolves in any case, and logs a line for each VMM with files that are still open.
   */
  async stop(): Promise<void> {
    const ended = Promise.all(this.#services.map((service) => service.stop()));
    await pTimeout(ended, { milliseconds: STOP_GRACE_MS, fallback: () => undefined });
    for (const service of this.#services) service.reportHeld();
  }
}

/** The device that serves or has served one VMM. */
interface Tenant {
  readonly device: MediaDevice;
  /** The process id of the VMM. Undefined: it is not known. */
  readonly vmm: number | undefined;
}

/** One node behind one socket. It serves one VMM at a time. */
class Service {
  #listener: Listener | null = null;
  #backend: Backend | null = null;
  #tenant: Tenant | null = null;
  /** The VMMs that have left and whose files are still being closed. */
  readonly #leaving = new Map<Tenant, Promise<void>>();

  private constructor(
    private readonly pair: ServePair,
    private readonly options: ServeOptions,
    private readonly turn: Turn,
    private readonly objects: ObjectTable | undefined,
    private readonly node: HostNode,
    private readonly description: NodeDescription,
    private readonly requests: NodeRequests | undefined,
  ) {}

  static async open(
    pair: ServePair,
    options: ServeOptions,
    turn: Turn,
    objects?: ObjectTable,
  ): Promise<Service> {
    const path = typeof pair.device === 'number' ? `/proc/self/fd/${pair.device}` : pair.device;
    const node = new HostNode(path);
    const description = await describe(node);
    if (!isUsable(description.deviceCaps)) {
      throw new StartError(
        'ERR_NODE_NOT_STREAMING',
        `${path} (${description.card}) has no streaming I/O, only read() or none: the guest's driver cannot use it; choose another node (see \`virtio-media-bridge list\`).`,
      );
    }
    const requests = await requestsOf(path, description, options.requests);
    if (requests) node.onReturn = (found) => requests.media.reopen(found);
    return new Service(pair, options, turn, objects, node, description, requests);
  }

  start(): void {
    const { socket } = this.pair;
    if ('connectedFd' in socket) return this.#connected(socket.connectedFd);
    const name = 'path' in socket ? socket.path : String(socket.listeningFd);
    const at = 'path' in socket ? (socket.listeningFd ?? socket.path) : socket.listeningFd;
    const { socketFile: file, allowUids } = this.options;
    try {
      this.#listener = new Listener(at, (fd) => this.#connected(fd), {
        ...(file && { file }),
        ...(allowUids && { allowUids }),
        ...('path' in socket && { path: socket.path }),
      });
    } catch (error) {
      throw socketError(name, error as NodeJS.ErrnoException);
    }
    log.info('serving', { device: this.node.path, card: this.description.card, socket: name });
  }

  async stop(): Promise<void> {
    this.#listener?.close();
    this.#backend?.close();
    this.#ended();
    await Promise.all(this.#leaving.values());
    this.requests?.media.close();
  }

  /** Logs which files stop() could not close. */
  reportHeld(): void {
    for (const { device, vmm } of this.#leaving.keys())
      log.warn('ending with files of a device that does not let go: they are left to the kernel', {
        device: this.node.path,
        files: device.closing,
        ...(vmm !== undefined && { vmm }),
      });
  }

  #connected(fd: number): void {
    if (this.#backend) {
      warnLimited('second-client', 'a second front-end was refused: one is being served', {
        device: this.node.path,
      });
      closeSync(fd);
      return;
    }
    const vmm = peerProcess(fd);
    log.info('a front-end connected', { device: this.node.path, ...(vmm !== undefined && { vmm }) });
    const { frontend, memSlots, objects, requests: _, ...options } = this.options;
    const { card = this.description.card } = this.pair;
    const device = new MediaDevice(this.node, Object.assign({}, this.description, { card }), {
      ...options,
      turn: this.turn,
      ...(this.objects && { objects: this.objects }),
      ...(this.requests && { requests: this.requests }),
    });
    this.#backend = new Backend({
      fd,
      device,
      options: { frontend, memSlots, objects },
      onEnd: (error) => this.#left(error),
    });
    this.#tenant = { device, vmm };
  }

  #left(error: Error | null): void {
    const fields = { device: this.node.path, ...(error && { error: error.message }) };
    if (error) log.warn('the front-end was disconnected', fields);
    else log.info('the front-end left', fields);
    this.#ended();
    if ('connectedFd' in this.pair.socket) this.options.onEnd?.();
  }

  #ended(): void {
    const tenant = this.#tenant;
    this.#tenant = null;
    this.#backend = null;
    if (!tenant) return;
    const closed = tenant.device.closed().finally(() => this.#leaving.delete(tenant));
    this.#leaving.set(tenant, closed);
  }
}

/**
 * Opens the media device of a node that takes media requests. Undefined: the node takes none, `mode` is `auto` and the
 * node works without them, or `mode` is `off`. Throws StartError.
 */
async function requestsOf(
  path: string,
  { card, deviceCaps }: NodeDescription,
  mode: RequestMode,
): Promise<NodeRequests | undefined> {
  // A camera is not opened for this, because that would wake it up.
  if (mode === 'off' || requestQueues(deviceCaps).length === 0) return undefined;
  const need = await askNeed(path, deviceCaps);
  if (need === 'none' || (need !== 'required' && mode === 'auto')) return undefined;
  const media = await openMedia(path);
  if (!isFailure(media)) return { mode, media: new MediaFile(media) };
  // Only a media device makes media requests, and this node has none.
  if (need === 'unknown' && media.errno === Errno.ENODEV) return undefined;
  const what = `${path} (${card}) takes buffers in media requests, and its media device cannot be opened`;
  throw mediaFailure(media.errno, what, isMomentary(media.errno));
}

/**
 * Whether the node needs media requests. Throws StartError if it does not answer, because a stateless decoder without
 * media requests decodes nothing.
 */
async function askNeed(path: string, deviceCaps: number): Promise<RequestNeed> {
  const file = probeFile(path);
  try {
    const errno = await file.open();
    if (errno !== 0) throw nodeFailure(errno, `${path} cannot be opened: ${errnoName(errno)}`);
    const need = await requestNeed(file.ioctl, deviceCaps);
    if (!isFailure(need)) return need;
    const what = `${path} cannot be asked for its formats: ${errnoName(need.errno)}`;
    throw nodeFailure(need.errno, what);
  } finally {
    file.close();
  }
}

async function describe(node: HostNode): Promise<NodeDescription> {
  try {
    return await node.describe();
  } catch (error) {
    if (!(error instanceof NodeError)) throw error;
    throw nodeFailure(error.errno, error.message, await cureOf(node, error));
  }
}

/** The cure, if this host tells more than the errno. */
async function cureOf(node: HostNode, { errno }: NodeError): Promise<string | undefined> {
  const failure = openFailureOf(errno);
  if (failure === 'not permitted') return accessCure(node.path);
  if (failure !== 'busy') return undefined;
  const found = await node.holders().catch(() => undefined);
  if (found?.own) return 'it is served already, and its driver lets one program open it once';
  return found && `${holdersText(found)} has it, end that one first`;
}
