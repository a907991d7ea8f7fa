/** One node behind one socket. */
import { closeSync } from 'node:fs';
import { log, warnLimited } from '../log.js';
import { MediaDevice } from '../media/device.js';
import type { ObjectTable } from '../media/memory/object-table.js';
import { closeSockets, openedBefore, socketError } from '../sockets.js';
import { StartError } from '../start-error.js';
import type { NodeDescription } from '../v4l2/description.js';
import { isUsable } from '../v4l2/kind.js';
import { HostNode } from '../v4l2/node.js';
import { NodeWatch } from '../v4l2/node-watch.js';
import { Backend } from '../vhost-user/backend.js';
import { Listener, peerProcess } from '../vhost-user/listener.js';
import type { Turn } from '../virtio/turn.js';
import { describe, type NodeRequests, requestsOf } from './node-start.js';
import type { PairReport } from './report.js';
import type { ServeOptions, ServePair } from './serve-options.js';
import { Tenants } from './tenants.js';

/** One node behind one socket. It serves one VMM at a time. */
export class Service {
  #listener: Listener | null = null;
  #backend: Backend | null = null;
  #pair: ServePair;
  #options: ServeOptions;
  #isStarted = false;
  #isStopped = false;
  /** Called when a retired service is over. null: it is not retired. */
  #over: (() => void) | null = null;
  readonly #watch: NodeWatch;
  readonly #tenants = new Tenants();

  private constructor(
    pair: ServePair,
    /** The options of the daemon. Those of the pair go before them. */
    private readonly common: ServeOptions,
    private readonly turn: Turn,
    private readonly objects: ObjectTable | undefined,
    private readonly node: HostNode,
    description: NodeDescription,
    private readonly requests: NodeRequests | undefined,
  ) {
    this.#pair = pair;
    this.#options = { ...common, ...pair.own };
    this.#watch = new NodeWatch(node, description, this.#options.wait ?? false);
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
    const requests = await requestsOf(path, description, pair.own?.requests ?? options.requests);
    if (requests) node.onReturn = (found) => requests.media.reopen(found);
    return new Service(pair, options, turn, objects, node, description, requests);
  }

  /** Whether start() must wait for a producer. */
  get waits(): boolean {
    return this.#options.wait === true && this.#watch.waitsForProducer;
  }

  /** What identifies the device, in words. */
  get identity(): string | undefined {
    return this.node.location?.text;
  }

  get hasVmm(): boolean {
    return this.#tenants.isServed;
  }

  get report(): PairReport {
    const { card, socket } = this.#pair;
    return {
      device: this.node.path,
      card: card ?? this.#watch.description.card,
      identity: this.identity ?? null,
      socket: 'path' in socket ? socket.path : null,
      ...this.#tenants.report,
    };
  }

  async startWithProducer(): Promise<void> {
    if (await this.#watch.producer()) this.start();
  }

  start(): void {
    this.#isStarted = true;
    const { socket } = this.#pair;
    if ('connectedFd' in socket) return this.#connected(socket.connectedFd);
    const name = 'path' in socket ? socket.path : String(socket.listeningFd);
    const at = 'path' in socket ? (socket.listeningFd ?? socket.path) : socket.listeningFd;
    const { socketFile: file, allowUids } = this.#options;
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
    const { vm } = this.#pair;
    const fields = { ...(vm !== undefined && { vm }), device: this.node.path, card: description.card };
    log.info('serving', { ...fields, socket: name, ...(this.identity && { identity: this.identity }) });
    if (waitsForProducer)
      log.warn(
        'the node waits for a producer: a guest that starts before gets an output (see --wait)',
        fields,
      );
  }

  /** Whether this is the service of a pair. */
  serves(pair: ServePair): boolean {
    return this.#pair === pair;
  }

  /**
   * The pair is another one from now on, with the same node and socket. Its policy holds for the next session, its list
   * of users for the next connection, everything else for the next VM.
   */
  change(pair: ServePair): void {
    this.#pair = pair;
    this.#options = { ...this.common, ...pair.own };
    this.#tenants.device?.setPolicy(this.#options.policy);
    this.#listener?.allow(this.#options.allowUids);
  }

  /**
   * No VM connects any more. A VM that is connected keeps its device until it leaves, because QEMU aborts without it.
   * Resolves when the service has stopped.
   */
  async retire(): Promise<void> {
    this.#isStopped = true;
    this.#listener?.close();
    if (this.hasVmm)
      await new Promise<void>((resolve) => {
        this.#over = resolve;
      });
    await this.stop();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    const watched = this.#watch.close();
    if (!this.#isStarted) closeSockets(openedBefore([this.#pair.socket]));
    this.#listener?.close();
    this.#backend?.close();
    this.#ended();
    await Promise.all([watched, this.#tenants.closed()]);
    this.requests?.media.close();
  }

  /** Logs which files stop() could not close. */
  reportHeld(): void {
    this.#tenants.reportHeld(this.node.path);
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
    const { frontend, memSlots, objects, requests: _, ...options } = this.#options;
    const { card } = this.#pair;
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
    this.#tenants.comes(device, vmm);
    present.refresh();
    this.#options.onVmm?.();
  }

  #left(error: Error | null): void {
    const fields = { device: this.node.path, ...(error && { error: error.message }) };
    if (error) log.warn('the front-end was disconnected', fields);
    else log.info('the front-end left', fields);
    this.#ended();
    this.#options.onVmm?.();
    if ('connectedFd' in this.#pair.socket) this.#options.onEnd?.();
  }

  #ended(): void {
    this.#backend = null;
    this.#tenants.goes();
    this.#over?.();
  }
}
