/** Builds everything for its pairs of node and socket, top to bottom. Only this file knows all layers. */
import { closeSync } from 'node:fs';
import pTimeout from 'p-timeout';
import { describe, type NodeRequests, type RequestMode, requestsOf } from './daemon/node-start.js';
import { log, warnLimited } from './log.js';
import { MediaDevice } from './media/device.js';
import { ObjectTable } from './media/memory/object-table.js';
import type { MmapMode } from './media/memory/shared-memory.js';
import type { Policy } from './media/policy.js';
import { closeSockets, openedBefore, type SocketSource, socketError } from './sockets.js';
import { StartError } from './start-error.js';
import type { NodeDescription } from './v4l2/description.js';
import { isUsable } from './v4l2/kind.js';
import { HostNode } from './v4l2/node.js';
import { NodeWatch } from './v4l2/node-watch.js';
import { Backend } from './vhost-user/backend.js';
import { Listener, peerProcess, type SocketFile } from './vhost-user/listener.js';
import type { VmmOption } from './vhost-user/vmm-traits.js';
import { Turn } from './virtio/turn.js';

export type { RequestMode } from './daemon/node-start.js';
export type { SocketSource } from './sockets.js';
export { StartError } from './start-error.js';
export type { SocketFile } from './vhost-user/listener.js';

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
  /** A node that waits for a producer is served when it has one. Absent: at once. */
  readonly wait?: boolean;
  /** Mode and owner of the sockets that are made at a path. Absent: 0600 and this process's user. */
  readonly socketFile?: SocketFile;
  /** The ids of the users whose processes may connect to a listening socket. Absent: every process that can. */
  readonly allowUids?: readonly number[];
  /** Called when the connection of an inherited connected socket has ended. */
  readonly onEnd?: () => void;
  /** Called when a VMM has come or gone. */
  readonly onVmm?: () => void;
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

  /**
   * Opens every node and socket. With `wait`, a node that waits for a producer follows when it has one. If one fails,
   * it closes all and rejects with StartError.
   */
  async start(): Promise<void> {
    const waiting: Service[] = [];
    try {
      for (const pair of this.options.pairs) {
        const service = await Service.open(pair, this.options, this.#turn, this.#objects);
        this.#services.push(service);
        if (service.waits) waiting.push(service);
        else service.start();
      }
      await Promise.all(waiting.map((service) => service.startWithProducer()));
    } catch (error) {
      await this.stop();
      const unserved = this.options.pairs.slice(this.#services.length);
      closeSockets(openedBefore(unserved.map(({ socket }) => socket)));
      throw error;
    }
  }

  /** What identifies the device of each pair, in words. undefined: it is not known. */
  get identities(): (string | undefined)[] {
    return this.#services.map((service) => service.identity);
  }

  /** `2 devices, 1 VM`. */
  get status(): string {
    const [devices, vms] = [this.#services.length, this.#services.filter(({ hasVmm }) => hasVmm).length];
    return `${devices} device${devices === 1 ? '' : 's'}, ${vms} VM${vms === 1 ? '' : 's'}`;
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
  #isStarted = false;
  #isStopped = false;
  readonly #watch: NodeWatch;
  #tenant: Tenant | null = null;
  /** The VMMs that have left and whose files are still being closed. */
  readonly #leaving = new Map<Tenant, Promise<void>>();

  private constructor(
    private readonly pair: ServePair,
    private readonly options: ServeOptions,
    private readonly turn: Turn,
    private readonly objects: ObjectTable | undefined,
    private readonly node: HostNode,
    description: NodeDescription,
    private readonly requests: NodeRequests | undefined,
  ) {
    this.#watch = new NodeWatch(node, description, options.wait ?? false);
  }

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

  /** Whether start() must wait for a producer. */
  get waits(): boolean {
    return this.options.wait === true && this.#watch.waitsForProducer;
  }

  /** What identifies the device, in words. */
  get identity(): string | undefined {
    return this.node.location?.text;
  }

  get hasVmm(): boolean {
    return this.#tenant !== null;
  }

  async startWithProducer(): Promise<void> {
    if (await this.#watch.producer()) this.start();
  }

  start(): void {
    this.#isStarted = true;
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
    const { description, waitsForProducer } = this.#watch;
    const fields = { device: this.node.path, card: description.card };
    log.info('serving', { ...fields, socket: name, ...(this.identity && { identity: this.identity }) });
    if (waitsForProducer)
      log.warn(
        'the node waits for a producer: a guest that starts before gets an output (see --wait)',
        fields,
      );
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    const watched = this.#watch.close();
    if (!this.#isStarted) closeSockets(openedBefore([this.pair.socket]));
    this.#listener?.close();
    this.#backend?.close();
    this.#ended();
    await Promise.all([watched, ...this.#leaving.values()]);
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

  /** A front-end that has left may be noticed in the same turn of the loop, but after its successor. */
  #connected(fd: number): void {
    if (!this.#backend) this.#serve(fd);
    else
      setImmediate(() => {
        if (!this.#backend && !this.#isStopped) return this.#serve(fd);
        closeSync(fd);
        warnLimited('second-client', 'a second front-end was refused: one is being served', {
          device: this.node.path,
        });
      });
  }

  #serve(fd: number): void {
    const vmm = peerProcess(fd);
    log.info('a front-end connected', { device: this.node.path, ...(vmm !== undefined && { vmm }) });
    const { frontend, memSlots, objects, requests: _, ...options } = this.options;
    const { card } = this.pair;
    const present = this.#watch;
    const device = new MediaDevice(this.node, present.description, {
      ...options,
      present,
      ...(card !== undefined && { card }),
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
    present.refresh();
    this.options.onVmm?.();
  }

  #left(error: Error | null): void {
    const fields = { device: this.node.path, ...(error && { error: error.message }) };
    if (error) log.warn('the front-end was disconnected', fields);
    else log.info('the front-end left', fields);
    this.#ended();
    this.options.onVmm?.();
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
