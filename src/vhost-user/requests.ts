/** Every request of the front-end, one row each. A request without a row is not understood. */

import { errorLimited, warnLimited } from '../log.js';
import { type Field, type Fields, NONE, type Struct, u64, viewOf } from '../struct.js';
import { GuestMemoryError, MAX_REGIONS, type MemoryRegion } from '../virtio/guest-memory.js';
import { closeAll, type Message, ProtocolError } from './connection.js';
import {
  configHeader,
  type Features,
  FrontEndRequest,
  features,
  HeaderFlags,
  MAX_CONFIG,
  MAX_DESCRIPTORS,
  memoryRegion,
  memoryTableHeader,
  Protocol,
  SHARED_MEMORY_REGIONS,
  sharedMemoryConfig,
  sharedObject,
  singleMemoryRegion,
  VringFd,
  vringAddress,
  vringState,
} from './protocol.js';
import { Refusal } from './refusal.js';
import type { RequestTarget } from './request-target.js';

/** Reads a body. Returns undefined if the body does not have the size that the request demands. */
type Body<T> = (raw: Buffer) => T | undefined;

interface Request<T> {
  readonly name: string;
  readonly body: Body<T>;
  /** The request is refused as unknown unless this protocol feature was negotiated. */
  readonly needs?: Features;
  /** Minimum and maximum number of descriptors. Absent: no descriptors. */
  readonly descriptors?: (body: T) => readonly [number, number];
  /** Resolves when the request may be carried out. null: at once. */
  readonly ready?: (backend: RequestTarget) => Promise<void> | null;
  /** Returns the body of the reply. A request that has a reply is never acknowledged. */
  readonly answer?: (backend: RequestTarget, body: T) => Uint8Array;
  /** Returns descriptors that are sent with the reply. The device keeps them. */
  readonly lends?: (backend: RequestTarget, body: T) => readonly number[];
  /**
   * Carries the request out. Removes the descriptors that it keeps from the list; the others are closed. If it throws
   * Refusal or GuestMemoryError, the acknowledgement is not zero.
   */
  readonly run?: (backend: RequestTarget, body: T, descriptors: number[]) => void;
}

const none: Body<true> = (raw) => (raw.length === 0 ? true : undefined);
const number: Body<number> = (raw) => (raw.length === 8 ? u64.get(viewOf(raw), 0) : undefined);
const set: Body<Features> = (raw) => (raw.length === 8 ? features.get(viewOf(raw), 0) : undefined);
/** QEMU gives this request a size of 0 and so sends no UUID. The answer then is "no such object", not an error. */
const uuid: Body<Uint8Array | null> = (raw) =>
  raw.length === 0 ? null : raw.length === sharedObject.size ? sharedObject.read(raw).uuid : undefined;
const record =
  <F extends Fields>(layout: Struct<F>): Body<ReturnType<Struct<F>['read']>> =>
  (raw) =>
    raw.length === layout.size ? layout.read(raw) : undefined;

const memoryTable: Body<MemoryRegion[]> = (raw) => {
  if (raw.length < memoryTableHeader.size) return undefined;
  const { count } = memoryTableHeader.read(raw);
  if (count > MAX_DESCRIPTORS || raw.length !== memoryTableHeader.size + count * memoryRegion.size)
    return undefined;
  return Array.from({ length: count }, (_, index) =>
    memoryRegion.read(raw, memoryTableHeader.size + index * memoryRegion.size),
  );
};

/** In SET_CONFIG the bytes to write follow the header. GET_CONFIG may omit the space for the answer. */
const config =
  (follows: 'always' | 'perhaps'): Body<ReturnType<typeof configHeader.read>> =>
  (raw) => {
    if (raw.length < configHeader.size) return undefined;
    const header = configHeader.read(raw);
    const room = raw.length - configHeader.size;
    const fits = room === header.size || (follows === 'perhaps' && room === 0);
    return fits && header.size <= MAX_CONFIG ? header : undefined;
  };

const one = () => [1, 1] as const;
const perhapsOne = () => [0, 1] as const;
const unlessNone = (value: number) => (hasDescriptor(value) ? ([1, 1] as const) : ([0, 0] as const));

const hasDescriptor = (value: number) => (value & VringFd.NO_FD) === 0;
const ringOf = (backend: RequestTarget, value: number) => backend.vring(value & VringFd.INDEX_MASK);

function row<T>(name: keyof typeof FrontEndRequest, body: Body<T>, rest: Omit<Request<T>, 'name' | 'body'>) {
  return [FrontEndRequest[name], { name, body, ...rest } as Request<unknown>] as const;
}

// biome-ignore format: a table
export const requests: ReadonlyMap<number, Request<unknown>> = new Map([
  row('GET_FEATURES',          none,   { answer: (b) => encode(features, b.offeredFeatures) }),
  row('SET_FEATURES',          set,    { run: (b, bits) => b.setFeatures(bits) }),
  row('SET_OWNER',             none,   { run: () => {} }),
  // Deprecated. It never meant "disconnect", so nothing is done.
  row('RESET_OWNER',           none,   { run: () => {} }),
  row('SET_MEM_TABLE',         memoryTable, { descriptors: (t) => [t.length, t.length], run: (b, table, fds) => b.memoryTable.replace(table, fds) }),
  row('SET_VRING_NUM',         record(vringState),   { run: (b, { index, num }) => b.vring(index).setSize(num) }),
  row('SET_VRING_ADDR',        record(vringAddress), { run: (b, address) => b.vring(address.index).setAddress(address) }),
  row('SET_VRING_BASE',        record(vringState),   { run: (b, { index, num }) => b.vring(index).setBase(num) }),
  row('GET_VRING_BASE',        record(vringState),   { answer: (b, { index }) => vringState.encode({ index, num: b.stopVring(index) }) }),
  row('SET_VRING_KICK',        number, { descriptors: unlessNone, run: (b, value, fds) => ringOf(b, value).setKick(fds) }),
  row('SET_VRING_CALL',        number, { descriptors: unlessNone, run: (b, value, fds) => ringOf(b, value).setCall(fds) }),
  row('SET_VRING_ERR',         number, { descriptors: unlessNone, run: (b, value, fds) => ringOf(b, value).setError(fds) }),
  row('GET_PROTOCOL_FEATURES', none,   { answer: (b) => encode(features, b.offeredProtocolFeatures) }),
  row('SET_PROTOCOL_FEATURES', set,    { run: (b, bits) => b.setProtocolFeatures(bits) }),
  row('GET_QUEUE_NUM',         none,   { needs: Protocol.MQ, answer: (b) => encode(u64, b.queueCount) }),
  row('SET_VRING_ENABLE',      record(vringState),   { run: (b, { index, num }) => b.vring(index).enable(num !== 0) }),
  row('SET_BACKEND_REQ_FD',    none,   { needs: Protocol.BACKEND_REQ, descriptors: one, run: (b, _, fds) => b.attachChannel(fds) }),
  row('GET_CONFIG',            config('perhaps'), { needs: Protocol.CONFIG, ready: (b) => b.configReady?.() ?? null, answer: (b, header) => Buffer.concat([configHeader.encode(header), b.readConfig(header.offset, header.size)]) }),
  row('SET_CONFIG',            config('always'),  { needs: Protocol.CONFIG, run: () => {} }),
  row('RESET_DEVICE',          none,   { run: (b) => b.resetDevice() }),
  row('GET_MAX_MEM_SLOTS',     none,   { needs: Protocol.CONFIGURE_MEM_SLOTS, answer: () => encode(u64, MAX_REGIONS) }),
  row('ADD_MEM_REG',           record(singleMemoryRegion), { needs: Protocol.CONFIGURE_MEM_SLOTS, descriptors: one, run: (b, { region }, fds) => b.memoryTable.add(region, fds) }),
  // Some front-ends send the descriptor of the region again.
  row('REM_MEM_REG',           record(singleMemoryRegion), { needs: Protocol.CONFIGURE_MEM_SLOTS, descriptors: perhapsOne, run: (b, { region }) => b.memoryTable.remove(region) }),
  row('SET_STATUS',            number, { run: (b, status) => b.setStatus(status) }),
  row('GET_STATUS',            none,   { answer: (b) => encode(u64, b.status) }),
  // The reply is only the descriptor. A reply without a descriptor means that there is no such object.
  row('GET_SHARED_OBJECT',     uuid,   { needs: Protocol.SHARED_OBJECT, answer: () => NONE, lends: (b, id) => b.sharedObject(id) }),
  row('GET_SHMEM_CONFIG',      none,   { needs: Protocol.SHMEM, answer: (b) => sharedMemoryConfigOf(b.sharedMemorySize) }),
]);

/**
 * Checks, runs and answers one request; if it must wait, later, when the promise resolves. Throws ProtocolError, or
 * rejects with it. Closes every descriptor of the message that no method kept.
 */
export function handle(backend: RequestTarget, message: Message): void | Promise<void> {
  const known = requests.get(message.request);
  const request = known && backend.hasNegotiated(known.needs ?? 0n) ? known : undefined;
  const ready = request?.ready?.(backend);
  return ready ? ready.then(() => carryOut(backend, request, message)) : carryOut(backend, request, message);
}

function carryOut(backend: RequestTarget, request: Request<unknown> | undefined, message: Message): void {
  try {
    if (request) serve(backend, request, message);
    else acknowledge(backend, message, `request ${message.request} is not understood`);
  } finally {
    closeAll(message.descriptors);
  }
}

function serve(backend: RequestTarget, request: Request<unknown>, message: Message): void {
  const { descriptors } = message;
  const body = request.body(message.body);
  if (body === undefined)
    throw new ProtocolError('ERR_VHOST_SIZE', `${request.name} with a body of ${message.body.length} bytes`);
  const [fewest, most] = request.descriptors?.(body) ?? [0, 0];
  if (descriptors.length < fewest || descriptors.length > most)
    throw new ProtocolError(
      'ERR_VHOST_DESCRIPTORS',
      `${request.name} with ${descriptors.length} descriptors`,
    );
  if (request.answer)
    backend.reply(message.request, request.answer(backend, body), request.lends?.(backend, body));
  else
    acknowledge(
      backend,
      message,
      refusalOf(() => request.run?.(backend, body, descriptors)),
    );
}

/**
 * Calls `run`. Returns why it was refused; undefined: it was done. A fault of the bridge counts as a refusal, because
 * QEMU goes on after a refusal.
 */
function refusalOf(run: () => void): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (error instanceof Refusal || error instanceof GuestMemoryError) return error.message;
    errorLimited('vhost-user.request', 'a vhost-user request failed', error);
    return String(error);
  }
}

/** Sends an acknowledgement if REPLY_ACK is negotiated. The request itself may have negotiated it. */
function acknowledge(backend: RequestTarget, { request, flags }: Message, refused: string | undefined): void {
  if (refused !== undefined)
    // One log topic for each row. One for each number would be too many, because the peer chooses the numbers.
    warnLimited(`vhost-user.${requests.get(request)?.name}`, 'a vhost-user request is refused', {
      request,
      why: refused,
    });
  if (!(flags & HeaderFlags.NEED_REPLY) || !backend.hasNegotiated(Protocol.REPLY_ACK)) return;
  backend.reply(request, encode(u64, refused === undefined ? 0 : 1));
}

function sharedMemoryConfigOf(size: number): Uint8Array {
  const sizes = Buffer.alloc(8 * SHARED_MEMORY_REGIONS);
  u64.set(viewOf(sizes), 0, size);
  return sharedMemoryConfig.encode({ count: size > 0 ? 1 : 0, pad4: 0, sizes });
}

function encode<T>(field: Field<T>, value: T): Uint8Array {
  const raw = Buffer.alloc(field.size);
  field.set(viewOf(raw), 0, value);
  return raw;
}
