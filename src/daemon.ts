/** Builds everything for its pairs of node and socket, top to bottom. Only this file knows all layers. */
import { closeSync } from 'node:fs';
import pTimeout from 'p-timeout';
import { Approver } from './daemon/approver.js';
import { listen, socketName } from './daemon/listening.js';
import { type NodeRequests, type StartedNode, startNode } from './daemon/node-start.js';
import type { ServeOptions, ServePair } from './daemon/options.js';
import { log, warnLimited } from './log.js';
import { MediaDevice } from './media/device.js';
import { ObjectTable } from './media/memory/object-table.js';
import { isMutable, type Mute } from './media/mute/mute.js';
import { closeSockets, openedBefore } from './sockets.js';
import type { HostNode } from './v4l2/node.js';
import { NodeWatch } from './v4l2/node-watch.js';
import { Backend } from './vhost-user/backend.js';
import { type Listener, peerProcess } from './vhost-user/listener.js';
import { Turn } from './virtio/turn.js';

export type { RequestMode } from './daemon/node-start.js';
export type { ServeOptions, ServePair } from './daemon/options.js';
export type { SocketSource } from './sockets.js';
export { StartError } from './start-error.js';
export type { SocketFile } from './vhost-user/listener.js';

/** How long stop() waits for files whose close waits for the hardware. */
const STOP_GRACE_MS = 500;

/** Serves all pairs of node and socket, on one loop. */
export class Daemon {
  readonly #services: Service[] = [];
  /** Shared by all nodes, because a buffer of one node may be queued to another. */
  readonly #objects: ObjectTable | undefined;
  /** Shared by all services, because they run on the same loop. */
  readonly #turn = new Turn();
  readonly #approver: Approver | undefined;

  constructor(private readonly options: ServeOptions) {
    if (options.objects) this.#objects = new ObjectTable();
    if (options.approve) this.#approver = new Approver(options.approve);
  }

  /**
   * Opens every node and socket. With `wait`, a node that waits for a producer follows when it has one. If one fails,
   * it closes all and rejects with StartError.
   */
  async start(): Promise<void> {
    const waiting: Service[] = [];
    try {
      for (const pair of this.options.pairs) {
        const shared = { turn: this.#turn, objects: this.#objects, approver: this.#approver };
        const service = await Service.open(pair, this.options, shared);
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

  /** The devices that are served, in the order of the pairs. */
  get devices(): readonly ServedDevice[] {
    return this.#services;
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
    const ended = Promise.all(this.#services.map((service) => service.stop())).then(() =>
      this.#approver?.close(),
    );
    await pTimeout(ended, { milliseconds: STOP_GRACE_MS, fallback: () => undefined });
    for (const service of this.#services) service.reportHeld();
  }
}

/** A device that is served, as those see it who control the daemon. */
export interface ServedDevice {
  /** The path of the node, as the operator gave it. */
  readonly path: string;
  /** The path of its socket, or the number of the descriptor. */
  readonly socket: string;
  /** Whether there is something to mute: false for a codec, an output and the like. */
  readonly isMutable: boolean;
  /** Whether its guest gets the picture, whichever VMM it is. */
  readonly mute: Pick<Mute, 'mute' | 'unmute' | 'isMuted' | 'how'>;
}

/** What all services of the process share. */
interface Shared {
  readonly turn: Turn;
  readonly objects: ObjectTable | undefined;
  readonly approver: Approver | undefined;
}

/** The device that serves or has served one VMM. */
interface Tenant {
  readonly device: MediaDevice;
  /** The process id of the VMM. Undefined: it is not known. */
  readonly vmm: number | undefined;
}

/** One node behind one socket. It serves one VMM at a time. */
class Service implements ServedDevice {
  #listener: Listener | null = null;
  #backend: Backend | null = null;
  #isStarted = false;
  #isStopped = false;
  private readonly node: HostNode;
  readonly mute: Mute;
  private readonly requests: NodeRequests | undefined;
  readonly #watch: NodeWatch;
  #tenant: Tenant | null = null;
  /** The VMMs that have left and whose files are still being closed. */
  readonly #leaving = new Map<Tenant, Promise<void>>();

  private constructor(
    private readonly pair: ServePair,
    private readonly options: ServeOptions,
    private readonly shared: Shared,
    { node, description, requests, mute }: StartedNode,
  ) {
    this.node = node;
    this.mute = mute;
    this.requests = requests;
    this.#watch = new NodeWatch(node, description, options.wait ?? false, options.onDemand ?? false);
  }

  static async open(pair: ServePair, options: ServeOptions, shared: Shared): Promise<Service> {
    const started = await startNode(pair.device, options.requests, options.muted);
    return new Service(pair, options, shared, started);
  }

  /** Whether start() must wait for a producer. */
  get waits(): boolean {
    return this.options.wait === true && this.#watch.waitsForProducer;
  }

  /** What identifies the device, in words. */
  get identity(): string | undefined {
    return this.node.location?.text;
  }

  get path(): string {
    return this.node.path;
  }

  get socket(): string {
    return socketName(this.pair.socket);
  }

  get isMutable(): boolean {
    return isMutable(this.#watch.description.deviceCaps);
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
    this.#listener = listen(socket, this.options, (fd) => this.#connected(fd));
    const { description, waitsForProducer } = this.#watch;
    const fields = { device: this.node.path, card: description.card };
    log.info('serving', {
      ...fields,
      socket: socketName(socket),
      ...(this.identity && { identity: this.identity }),
    });
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
    const { frontend, memSlots, objects, requests: _, approve: __, muted: ___, ...options } = this.options;
    const { card } = this.pair;
    const present = this.#watch;
    const who = {
      device: this.node.path,
      socket: socketName(this.pair.socket),
      ...(vmm !== undefined && { vmm }),
    };
    const approve = this.shared.approver?.for({ ...who, card: present.description.card });
    const device = new MediaDevice(this.node, present.description, {
      ...options,
      present,
      ...(card !== undefined && { card }),
      audit: who,
      mute: this.mute,
      ...(approve && { approve }),
      turn: this.shared.turn,
      ...(this.shared.objects && { objects: this.shared.objects }),
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
