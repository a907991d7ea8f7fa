/** The VMMs of one node: the one that is served, those that have left and whose files are still being closed, and what all did. */
import { log } from '../log.js';
import type { MediaDevice } from '../media/device.js';
import type { FailureStatus, SessionStatus } from '../media/status.js';
import { Sum, type Totals } from '../media/totals.js';

/** The device that serves or has served one VMM. */
interface Tenant {
  readonly device: MediaDevice;
  /** The process id of the VMM. Undefined: it is not known. */
  readonly vmm: number | undefined;
}

/** What is told of the VMMs of a node. */
export interface TenantReport {
  /** The VMM that is served, with its process id if that is known. null: none is. */
  readonly vmm: { readonly pid: number | null } | null;
  /** How many have left, with files that are not closed yet. */
  readonly leaving: number;
  readonly sessions: readonly SessionStatus[];
  readonly lastFailure: FailureStatus | null;
  /** Of all VMMs since the start. */
  readonly totals: Totals;
}

export class Tenants {
  #current: Tenant | null = null;
  readonly #leaving = new Map<Tenant, Promise<void>>();
  readonly #sum = new Sum();

  /** Whether a VMM is served. */
  get isServed(): boolean {
    return this.#current !== null;
  }

  /** The device of the VMM that is served. */
  get device(): MediaDevice | undefined {
    return this.#current?.device;
  }

  /** `vmm`: the process id of the VMM, if it is known. */
  comes(device: MediaDevice, vmm: number | undefined): void {
    this.#current = { device, vmm };
    this.#sum.add(device);
  }

  /** The VMM has left. Without one, nothing happens. */
  goes(): void {
    const tenant = this.#current;
    this.#current = null;
    if (!tenant) return;
    const closed = tenant.device.closed().finally(() => {
      this.#sum.ended(tenant.device);
      this.#leaving.delete(tenant);
    });
    this.#leaving.set(tenant, closed);
  }

  /** Resolves when every file of those that have left is closed. */
  async closed(): Promise<void> {
    await Promise.all(this.#leaving.values());
  }

  /** Logs which files are not closed. `node`: its path. */
  reportHeld(node: string): void {
    for (const { device, vmm } of this.#leaving.keys())
      log.warn('ending with files of a device that does not let go: they are left to the kernel', {
        device: node,
        files: device.closing,
        ...(vmm !== undefined && { vmm }),
      });
  }

  get report(): TenantReport {
    const device = this.#current?.device;
    return {
      vmm: this.#current && { pid: this.#current.vmm ?? null },
      leaving: this.#leaving.size,
      sessions: device?.sessionStatuses ?? [],
      lastFailure: device?.lastFailure ?? null,
      totals: this.#sum.totals,
    };
  }
}
