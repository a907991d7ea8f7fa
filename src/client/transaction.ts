/** One command with a response: its layout in guest memory, and its answer. */
import { responseHeader } from '../media/protocol.js';
import { DriverError, ProtocolError } from './driver-error.js';
import type { Block } from './heap.js';
import type { Piece } from './pieces.js';

/** Highest value that the Linux kernel accepts as an errno (MAX_ERRNO). */
const MAX_ERRNO = 4095;

export interface Transaction {
  /** Name of the operation in errors. */
  readonly operation: string;
  /** The memory of all pieces. It is released when the device returns the chain. */
  readonly block: Block;
  readonly readable: readonly Piece[];
  readonly writable: readonly Piece[];
  /** Runs before any event that the device published after the answer. */
  readonly answered?: (answer: Answer) => void;
}

export interface Answer {
  /** Status of the response; 0: success. */
  readonly errno: number;
  /** Everything that the device wrote. */
  readonly whole: Buffer;
  /** The bytes after the response header. */
  readonly payload: Buffer;
}

/**
 * Reads what the device wrote. Throws ProtocolError if the response header is cut short or the status is no errno: the
 * Linux driver would then see a success or lose the errno.
 */
export function readAnswer(operation: string, whole: Buffer): Answer {
  if (whole.length < responseHeader.size)
    throw new ProtocolError(
      `${operation}: the device wrote ${whole.length} bytes, a response has ${responseHeader.size}`,
    );
  const { status } = responseHeader.read(whole);
  if (status > MAX_ERRNO)
    throw new ProtocolError(`${operation}: status 0x${status.toString(16)} is no positive errno`);
  return { errno: status, whole, payload: whole.subarray(responseHeader.size) };
}

/**
 * Returns a successful answer. Throws DriverError if the status is not 0, ProtocolError if a success has fewer than
 * `needed` bytes; the response header counts.
 */
export function checked(operation: string, answer: Answer, needed: number): Answer {
  if (answer.errno !== 0) throw new DriverError(operation, answer.errno, answer.payload);
  if (answer.whole.length < needed)
    throw new ProtocolError(
      `${operation}: the device wrote ${answer.whole.length} bytes, success has ${needed}`,
    );
  return answer;
}
