/** G_EXT_CTRLS, S_EXT_CTRLS and TRY_EXT_CTRLS: an array of controls, and payloads in separate guest memory. */
import { ioctlCommand, responseHeader } from '../media/protocol.js';
import { encoded } from '../struct.js';
import { extControl, extControls, Which } from '../v4l2/control-layout.js';
import { ProtocolError } from './driver-error.js';
import type { GuestDriver } from './guest-driver.js';
import { gather, lengthOf, type Piece, scatter } from './pieces.js';
import { sgList } from './sg-list.js';
import type { Answer } from './transaction.js';

export interface ControlRequest {
  readonly id: number;
  /** The union: an integer of up to 64 bits, or a pointer. The device must return a pointer unchanged. */
  readonly value?: bigint;
  /** Guest memory of the payload. The control's `size` is set to its length in bytes. */
  readonly memory?: readonly Piece[];
  /** Bytes that are written to `memory` before the call. */
  readonly payload?: Uint8Array;
}

export interface ControlsAnswer {
  readonly errno: number;
  /** False: the array did not come back. Then the Linux driver reports EINVAL, whatever errno the device sent. */
  readonly echoed: boolean;
  readonly errorIdx: number;
  readonly controls: { id: number; size: number; value: bigint; payload: Buffer | undefined }[];
}

/**
 * Sends control ioctl `nr`. A failure does not throw: the answer has the errno, because the device must write the array
 * back then too. ProtocolError if a success does not bring the array back.
 */
export async function controlIoctl(
  driver: GuestDriver,
  sessionId: number,
  nr: number,
  requests: readonly ControlRequest[],
  options: { which?: number; requestFd?: number } = {},
): Promise<ControlsAnswer> {
  const { which = Which.CURRENT, requestFd = 0 } = options;
  const header = { which, requestFd, count: requests.length };
  const array = Buffer.concat(requests.map(encodeControl));
  const lists = Buffer.concat(requests.map(({ memory }) => sgList(memory ?? [])));
  for (const { memory, payload } of requests)
    if (memory && payload) scatter(driver.heap.ram, memory, payload);
  const block = driver.heap.block(
    ioctlCommand.size,
    extControls.size,
    array.length,
    lists.length,
    responseHeader.size,
  );
  driver.writeIoctl(block.bytes(0), sessionId, nr);
  block.bytes(1).set(encoded(extControls, header));
  block.bytes(2).set(array);
  block.bytes(3).set(lists);
  const [command, record, arrayPiece, sgPiece, response] = block.pieces;
  const operation = driver.operation(nr);
  const answer = await driver.transact({
    operation,
    block,
    readable: [command, record, arrayPiece, sgPiece],
    writable: [response, record, arrayPiece],
  });
  return readControls(driver, operation, requests, answer);
}

function encodeControl({ id, value = 0n, memory = [] }: ControlRequest): Buffer {
  const raw = Buffer.alloc(8);
  raw.writeBigUInt64LE(BigInt.asUintN(64, value));
  return encoded(extControl, { id, size: lengthOf(memory), value: raw });
}

function readControls(
  driver: GuestDriver,
  operation: string,
  requests: readonly ControlRequest[],
  { errno, payload }: Answer,
): ControlsAnswer {
  const needed = extControls.size + requests.length * extControl.size;
  const echoed = payload.length >= needed;
  if (!echoed && errno === 0)
    throw new ProtocolError(`${operation}: ${payload.length} bytes after the header, success has ${needed}`);
  if (!echoed) return { errno, echoed, errorIdx: 0, controls: [] };
  const { errorIdx } = extControls.read(payload);
  const controls = requests.map(({ memory }, i) => {
    const record = extControl.read(payload, extControls.size + i * extControl.size);
    const value = Buffer.from(record.value).readBigInt64LE();
    return {
      id: record.id,
      size: record.size,
      value,
      payload: memory && gather(driver.heap.ram, memory, record.size),
    };
  });
  return { errno, echoed, errorIdx, controls };
}
