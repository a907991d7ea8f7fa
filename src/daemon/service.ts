/** One node behind one socket. */
import { closeSync } from 'node:fs';
import { log, warnLimited } from '../log.js';
import { MediaDevice } from '../media/device.js';
import type { ObjectTable } from '../media/memory/object-table.js';
import { isMutable, type Mute } from '../media/mute/mute.js';
import { closeSockets, openedBefore } from '../sockets.js';
import type { HostNode } from '../v4l2/node.js';
import { NodeWatch } from '../v4l2/node-watch.js';
import { Backend } from '../vhost-user/backend.js';
import { type Listener, peerProcess } from '../vhost-user/listener.js';
import type { Turn } from '../virtio/turn.js';
import type { Approver } from './approver.js';
import { listen, socketName } from './listening.js';
import { type NodeRequests, type StartedNode, startNode } from './node-start.js';
import type { PairReport } from './report.js';
import type { ServeOptions, ServePair } from './serve-options.js';
import { Tenants } from './tenants.js';

/** A device that is served, as those see it who control the daemon. */
export interface ServedDevice {
  /** The path of the node, as the operator gave it. */
  readonly path: string;
  /** Whether there is something to mute: false for a codec, an output and the like. */
  readonly isMutable: boolean;
  /** Whether its guest gets the picture, whichever VMM it is. */
  readonly mute: Pick<Mute, 'mute' | 'unmute' | 'isMuted' | 'how'>;
}

/** What the services of a VM share. */
interface Shared {
  readonly turn: Turn;
  readonly objects: ObjectTable | undefined;
  readonly approver: Approver | undefined;
}

/** One node behind one socket. It serves one VMM at a time. */
export class Service implements ServedDevice {
  #listener: Listener | null = null;
  #backend: Backend | null = null;
  #pair: ServePair;
  #options: ServeOptions;
  #isStarted = false;
  #isStopped = false;
  /** Called when a retired service is over. null: it is not retired. */
  #over: (() => void) | null = null;
  readonly mute: Mute;
  private readonly node: HostNode;
  private readonly requests: NodeRequests | undefined;
  readonly #watch: NodeWatch;
  readonly #tenants = new Tenants();

  private constructor(
    pair: ServePair,
    /** The options of the daemon. Those of the pair go before them. */
    private readonly common: ServeOptions,
    private readonly shared: Shared,
    { node, description, requests, mute }: StartedNode,
  ) {
    this.node = node;
    this.mute = mute;
    this.requests = requests;
    this.#pair = pair;
    this.#options = { ...common, ...pair.own };
    this.#watch = new NodeWatch(
      node,
      description,
      this.#options.wait ?? false,
      this.#options.onDemand ?? false,
    );
  }

  static async open(pair: ServePair, options: ServeOptions, shared: Shared): Promise<Service> {
    const { requests, muted } = { ...options, ...pair.own };
    return new Service(pair, options, shared, await startNode(pair.device, requests, muted));
  }

  /** Whether start() must wait for a producer. */
  get waits(): boolean {
    return this.#options.wait === true && this.#watch.waitsForProducer;
  }

  /** What identifies the device, in words. */
  get identity(): string | undefined {
    return this.node.location?.text;
  }

  get path(): string {
    return this.node.path;
  }

  get isMutable(): boolean {
    return isMutable(this.#watch.description.deviceCaps);
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
    this.#listener = listen(socket, this.#options, (fd) => this.#connected(fd));
    const { description, waitsForProducer } = this.#watch;
    const { vm } = this.#pair;
    const fields = { ...(vm !== undefined && { vm }), device: this.node.path, card: description.card };
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
    const { frontend, memSlots, objects, requests: _, approve: __, muted: ___, ...options } = this.#options;
    const { card } = this.#pair;
    const present = this.#watch;
    const who = {
      device: this.node.path,
      socket: socketName(this.#pair.socket),
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
