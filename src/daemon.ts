/** Builds everything for its pairs of node and socket. */
import pTimeout from 'p-timeout';
import { Approver } from './daemon/approver.js';
import type { PairReport } from './daemon/report.js';
import type { ServeOptions, ServePair } from './daemon/serve-options.js';
import { type ServedDevice, Service } from './daemon/service.js';
import { log } from './log.js';
import { ObjectTable } from './media/memory/object-table.js';
import { closeSockets, openedBefore } from './sockets.js';
import { Turn } from './virtio/turn.js';

export type { RequestMode } from './daemon/node-start.js';
export type { PairOptions, ServeOptions, ServePair } from './daemon/serve-options.js';
export type { SocketSource } from './sockets.js';
export { StartError } from './start-error.js';
export type { SocketFile } from './vhost-user/listener.js';

/** How long stop() waits for files whose close waits for the hardware. */
const STOP_GRACE_MS = 500;

/** Serves all pairs of node and socket, on one loop. */
export class Daemon {
  readonly #services: Service[] = [];
  /** One for each VM, by its name. All its nodes share it, because a buffer of one may be queued to another. */
  readonly #objects = new Map<string | undefined, ObjectTable>();
  /** Shared by all services, because they run on the same loop. */
  readonly #turn = new Turn();
  readonly #approver: Approver | undefined;

  constructor(private readonly options: ServeOptions) {
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
        const service = await this.#open(pair);
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

  /**
   * Serves another pair. Resolves when it is served; with `wait`, a node that waits for a producer follows when it has
   * one. Rejects with StartError, and nothing has changed then.
   */
  async add(pair: ServePair): Promise<void> {
    const service = await this.#open(pair);
    const failed = async (error: unknown): Promise<void> => {
      this.#forget(service);
      await service.stop();
      throw error;
    };
    if (service.waits)
      void service
        .startWithProducer()
        .catch(failed)
        .catch((error: unknown) => log.error('a node cannot be served', { error: String(error) }));
    else
      try {
        service.start();
      } catch (error) {
        await failed(error);
      }
  }

  /** Whether a VM is connected to the socket of a pair. */
  hasVmm(pair: ServePair): boolean {
    return this.#serviceOf(pair)?.hasVmm ?? false;
  }

  /** No VM connects to the pair any more. A VM that is connected keeps its device until it leaves. */
  remove(pair: ServePair): void {
    const service = this.#serviceOf(pair);
    if (!service) return;
    void service.retire().then(
      () => this.#forget(service),
      (error: unknown) => log.fault('a node that is no longer served cannot be closed', error),
    );
  }

  /** `next` takes the place of a pair with the same node and socket: see Service.change(). */
  change(pair: ServePair, next: ServePair): void {
    this.#serviceOf(pair)?.change(next);
  }

  /** What identifies the device of each pair, in words. undefined: it is not known. */
  get identities(): (string | undefined)[] {
    return this.#services.map((service) => service.identity);
  }

  /** What is told of each pair. */
  get reports(): PairReport[] {
    return this.#services.map((service) => service.report);
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

  async #open(pair: ServePair): Promise<Service> {
    const objects = pair.own?.objects ?? this.options.objects;
    const table = objects ? (this.#objects.get(pair.vm) ?? new ObjectTable()) : undefined;
    const shared = { turn: this.#turn, objects: table, approver: this.#approver };
    const service = await Service.open(pair, this.options, shared);
    if (table) this.#objects.set(pair.vm, table);
    this.#services.push(service);
    return service;
  }

  #serviceOf(pair: ServePair): Service | undefined {
    return this.#services.find((service) => service.serves(pair));
  }

  #forget(service: Service): void {
    const at = this.#services.indexOf(service);
    if (at >= 0) this.#services.splice(at, 1);
  }
}
