/**
 * A value or an errno: what a function returns that makes a value and may fail while a guest runs. A function that
 * only succeeds or fails returns a status instead: an errno, 0 for success.
 */

/** The highest errno that the kernel returns (MAX_ERRNO of <linux/err.h>). */
const MAX_ERRNO = 4095;

/** Why there is no value. Each errno has one instance, which is frozen, so two failures can be compared with `===`. */
export class Failure {
  static readonly #instances: Failure[] = [];
  /** Without it, every object with an `errno` would be a Failure to the compiler. */
  declare protected readonly nominal: true;

  /** `errno`: positive, as in <errno.h>. */
  private constructor(readonly errno: number) {
    if (!Number.isInteger(errno) || errno < 1 || errno > MAX_ERRNO)
      throw new RangeError(`${errno} is not an errno`);
    Object.freeze(this);
  }

  static of(errno: number): Failure {
    Failure.#instances[errno] ??= new Failure(errno);
    return Failure.#instances[errno];
  }
}

/** A value, or why there is none. */
export type Result<T> = T | Failure;

/** The failure with this errno (positive). Allocates only at the first call with an errno. Throws RangeError. */
export function failure(errno: number): Failure {
  return Failure.of(errno);
}

export function isFailure(result: unknown): result is Failure {
  return result instanceof Failure;
}

/**
 * The result of a function of the addon that returns a value or -errno (native.ts). Call it where the function is
 * called: no other code has negative errnos.
 */
export function resultOf(returned: number): Result<number>;
export function resultOf<T extends object>(returned: T | number): Result<T>;
export function resultOf(returned: unknown): unknown {
  return typeof returned === 'number' && returned < 0 ? failure(-returned) : returned;
}
