/** Limits the bytes of SG lists that are kept with buffers, for each session and for each device. */
import { MAX_DEVICE_LIST_BYTES, MAX_SESSION_LIST_BYTES } from '../policy.js';

/** A budget in bytes. Bytes of a session's budget count in the device's budget too. */
export class SgBudget {
  #used = 0;

  constructor(
    private readonly most: number,
    private readonly device: SgBudget | null = null,
  ) {}

  static ofDevice(): SgBudget {
    return new SgBudget(MAX_DEVICE_LIST_BYTES);
  }

  static ofSession(device: SgBudget): SgBudget {
    return new SgBudget(MAX_SESSION_LIST_BYTES, device);
  }

  /** Bytes. */
  get used(): number {
    return this.#used;
  }

  /** Takes bytes from the budget. False: it has not enough left, and nothing was taken. */
  take(bytes: number): boolean {
    if (this.#used + bytes > this.most || this.device?.take(bytes) === false) return false;
    this.#used += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#used -= bytes;
    this.device?.giveBack(bytes);
  }
}
