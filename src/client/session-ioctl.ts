/** A session as somebody who only asks questions sees it: a number of an ioctl and a payload in, an errno out. */
import { CommandTimeout, DriverError } from './driver-error.js';
import type { GuestDriver } from './guest-driver.js';

/** The payload comes back in place. Rejects only where the device does not answer, or not by the protocol. */
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
