/** Ioctls of a session with the errno as result instead of an exception. */
import { CommandTimeout, DriverError } from './driver-error.js';
import type { GuestDriver } from './guest-driver.js';

/**
 * Returns a function that runs ioctl `nr` and resolves with the errno. 0: success, and the answer is in `payload`. It
 * rejects only if the device does not answer (CommandTimeout) or breaks the protocol (ProtocolError).
 */
export function sessionIoctl(driver: GuestDriver, sessionId: number) {
  return async (nr: number, payload: Uint8Array): Promise<number> => {
    try {
      payload.set(await driver.ioctl(sessionId, nr, payload, { size: payload.length }));
      return 0;
    } catch (error) {
      if (!(error instanceof DriverError) || error instanceof CommandTimeout) throw error;
      return error.errno;
    }
  };
}
