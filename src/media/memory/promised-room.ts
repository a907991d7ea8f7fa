/** Room in SHM region 0 that is promised to buffers which the kernel is still making. */

/** Room for `left` buffers with planes of `lengths` bytes. */
export interface Promised {
  readonly part: 'arena' | 'direct';
  readonly lengths: readonly number[];
  readonly left: number;
}

/** At most one promise for each owner, which is a session. */
export class PromisedRoom {
  readonly #promises = new Map<object, Promised>();

  /** Replaces the promise of the owner. */
  give(owner: object, promised: Promised): void {
    this.#promises.set(owner, promised);
  }

  /** One of the buffers has its slots. */
  redeem(owner: object): void {
    const promised = this.#promises.get(owner);
    if (promised) this.#promises.set(owner, { ...promised, left: Math.max(0, promised.left - 1) });
  }

  /** The promise ends. Calling it twice is harmless. */
  withdraw(owner: object): void {
    this.#promises.delete(owner);
  }

  /** The promises of others in a part of the region. */
  others(owner: object, part: Promised['part']): Promised[] {
    return [...this.#promises]
      .filter(([other, promised]) => other !== owner && promised.part === part)
      .map(([, promised]) => promised);
  }
}
