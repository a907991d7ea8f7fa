/** How a command of the guest driver can fail. */
import { Errno, errnoName } from '../errno.js';

/** The device answered a status other than 0. */
export class DriverError extends Error {
  constructor(
    /** The ioctl's name without VIDIOC_, or OPEN, MMAP, MUNMAP. */
    readonly operation: string,
    readonly errno: number,
    /** What the device wrote after the response header. */
    readonly payload: Uint8Array = new Uint8Array(0),
    explanation = '',
  ) {
    super(`${operation}: ${errnoName(errno)}${explanation && ` (${explanation})`}`);
  }
}

/** Nothing came back in time. The device still holds the chain: a later answer is counted in GuestDriver.lateAnswers. */
export class CommandTimeout extends DriverError {
  constructor(operation: string, milliseconds: number) {
    super(operation, Errno.ETIMEDOUT, undefined, `no answer within ${milliseconds / 1000} s`);
  }
}

/** The device answered something that the protocol does not allow. */
export class ProtocolError extends Error {}

/** The other end of a socket hung up, or cannot be spoken to. */
export class Disconnected extends Error {}
