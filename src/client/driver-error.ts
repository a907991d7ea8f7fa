/** Errors of the guest driver's commands. */
import { Errno, errnoName } from '../errno.js';

/** The device answered with a status other than 0. */
export class DriverError extends Error {
  constructor(
    /** The ioctl's name without VIDIOC_, or OPEN, MMAP, MUNMAP. */
    readonly operation: string,
    /** Positive, as in the response. */
    readonly errno: number,
    /** The bytes that the device wrote after the response header. */
    readonly payload: Uint8Array = new Uint8Array(0),
    explanation = '',
  ) {
    super(`${operation}: ${errnoName(errno)}${explanation && ` (${explanation})`}`);
  }
}

/**
 * The answer (ETIMEDOUT) or the event did not come in time. After a command the device still has the descriptor chain:
 * GuestDriver.lateAnswers counts an answer that comes later.
 */
export class CommandTimeout extends DriverError {
  constructor(operation: string, milliseconds: number) {
    super(operation, Errno.ETIMEDOUT, undefined, `no answer within ${milliseconds / 1000} s`);
  }
}

/** The device or the back-end sent something that the protocol does not allow. */
export class ProtocolError extends Error {}

/** The other end of a socket hung up, or the socket takes no more data. */
export class Disconnected extends Error {}
