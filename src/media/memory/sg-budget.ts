/** Bytes of SG lists that are kept with buffers: those of a session, which count for its device too. */
import { MAX_DEVICE_LIST_BYTES, MAX_SESSION_LIST_BYTES } from '../policy.js';

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

  get used(): number {
    return this.#used;
  }

  /** False: there is no room for so much. */
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
