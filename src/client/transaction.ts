/** One command with a response: how it lies in guest memory, and what came back. */
import { responseHeader } from '../media/protocol.js';
import { DriverError, ProtocolError } from './driver-error.js';
import type { Block } from './heap.js';
import type { Piece } from './pieces.js';

/** Highest errno that the Linux kernel takes for one (MAX_ERRNO). */
const MAX_ERRNO = 4095;

export interface Transaction {
  /** The name that errors carry. */
  readonly operation: string;
  /** The memory of all pieces; released when the chain has come back. */
  readonly block: Block;
  readonly readable: readonly Piece[];
  readonly writable: readonly Piece[];
  /** Runs before any event that follows the answer. */
  readonly answered?: (answer: Answer) => void;
}

export interface Answer {
  readonly errno: number;
  /** Everything that the device wrote. */
  readonly whole: Buffer;
  /** The same without the response header. */
  readonly payload: Buffer;
}

/** Throws ProtocolError where the Linux driver would take a failure for a success or lose the errno. */
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

/** Throws DriverError for a status, ProtocolError for a success of fewer than `needed` bytes, header included. */
export function checked(operation: string, answer: Answer, needed: number): Answer {
  if (answer.errno !== 0) throw new DriverError(operation, answer.errno, answer.payload);
  if (answer.whole.length < needed)
    throw new ProtocolError(
      `${operation}: the device wrote ${answer.whole.length} bytes, success has ${needed}`,
    );
  return answer;
}
