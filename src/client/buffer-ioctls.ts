/** QUERYBUF, QBUF and PREPARE_BUF: a buffer record, its plane records, and the SG lists of USERPTR planes. */
import { ioctlCommand, responseHeader } from '../media/protocol.js';
import { encoded } from '../struct.js';
import { buffer as bufferRecord, plane as planeRecord } from '../v4l2/layout.js';
import type { BufferRecord, PlaneRecord } from './event-lane.js';
import type { GuestDriver } from './guest-driver.js';
import type { Piece } from './pieces.js';
import { sgList } from './sg-list.js';
import { type Answer, checked } from './transaction.js';

export interface BufferRequest {
  readonly buffer: Partial<BufferRecord>;
  /** Plane records of a multi-planar type. `length` of the buffer record is set to their number if it is not given. */
  readonly planes?: readonly Partial<PlaneRecord>[];
  /** USERPTR: the guest memory of each plane. A single-planar type has one list. */
  readonly memory?: readonly (readonly Piece[])[];
}

export interface BufferAnswer {
  readonly buffer: BufferRecord;
  readonly planes: PlaneRecord[];
}

/**
 * Sends ioctl `nr` with the descriptors of the Linux driver: the buffer record and the plane records are the same
 * memory in the readable and in the writable part. Throws DriverError with the status, ProtocolError if a successful
 * answer is too short.
 */
export async function bufferIoctl(
  driver: GuestDriver,
  sessionId: number,
  nr: number,
  request: BufferRequest,
): Promise<BufferAnswer> {
  const planes = Buffer.concat((request.planes ?? []).map((fields) => encoded(planeRecord, fields)));
  const fields = request.planes ? { length: request.planes.length, ...request.buffer } : request.buffer;
  const lists = Buffer.concat((request.memory ?? []).map(sgList));
  const block = driver.heap.block(
    ioctlCommand.size,
    bufferRecord.size,
    planes.length,
    lists.length,
    responseHeader.size,
  );
  const [command, record, planePiece, sgPiece, response] = block.pieces;
  driver.writeIoctl(block.bytes(0), sessionId, nr);
  const sent = encoded(bufferRecord, fields);
  block.bytes(1).set(sent);
  block.bytes(2).set(planes);
  block.bytes(3).set(lists);
  const operation = driver.operation(nr);
  const answered = ({ errno }: Answer) => {
    if (errno === 0) driver.queued.answered(sessionId, nr, sent);
  };
  const answer = await driver.transact({
    operation,
    block,
    readable: [command, record, planePiece, sgPiece],
    writable: [response, record, planePiece],
    answered,
  });
  return readBuffer(checked(operation, answer, responseHeader.size + bufferRecord.size).payload);
}

/** Reads a buffer record and the plane records after it. */
export function readBuffer(payload: Uint8Array): BufferAnswer {
  const planes: PlaneRecord[] = [];
  for (let at = bufferRecord.size; at + planeRecord.size <= payload.length; at += planeRecord.size)
    planes.push(planeRecord.read(payload, at));
  return { buffer: bufferRecord.read(payload), planes };
}
