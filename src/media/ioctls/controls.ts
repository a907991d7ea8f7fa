/**
 * G/S/TRY_EXT_CTRLS. The array of controls follows the payload, then one SG list for each control with size > 0. The
 * values behind the SG lists are copied: from the guest's pages before the
 * ioctl, and back to them after it, before the command is answered.
 */
import { Errno } from '../../errno.js';
import { failure, isFailure, type Result } from '../../result.js';
import { NONE } from '../../struct.js';
import {
  CONTROL_ID_MASK,
  ControlFlag,
  extControl,
  extControls,
  MAX_CONTROLS,
  queryExtCtrl,
  Which,
} from '../../v4l2/control-layout.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { isLasting } from '../../v4l2/refusal.js';
import { GuestMemoryError } from '../../virtio/guest-memory.js';
import { Price } from '../../virtio/turn.js';
import type { Answer, Command } from '../commands/command.js';
import { ListCopy, type PacedCopy, runCopy } from '../memory/paced-copy.js';
import { type SgList, SgLists } from '../memory/sg-list.js';
import { MAX_CONTROL_PAYLOAD } from '../policy.js';
import type { SetControl } from '../queues/implicit-requests.js';
import type { Session } from '../session.js';
import { isClassHidden, nodeControls, takeBack } from './hidden-controls.js';
import { type IoctlRequest, refuse } from './ioctl-request.js';

/** A control whose union is a pointer: its SG list of guest memory, and the bridge's copy of the value. */
interface Pointed {
  readonly list: SgList;
  readonly bytes: Uint8Array;
}

/**
 * VIDIOC_G_EXT_CTRLS, VIDIOC_S_EXT_CTRLS and VIDIOC_TRY_EXT_CTRLS.
 *
 * Payload: struct v4l2_ext_controls (32 bytes), then `count` records of struct v4l2_ext_control (20 bytes), then the
 * SG lists. The answer has the structure and the records, also with an errno, because the Linux driver wants them
 * then.
 *
 * Errnos of its own: EINVAL for more than MAX_CONTROLS, records or SG lists that do not add up, a request handle that
 * does not exist, or a class whose controls are all hidden; ENOMEM for values of more than MAX_CONTROL_PAYLOAD bytes
 * in all; EFAULT for pages that are not in guest memory; EINTR if the command was answered meanwhile. All others come
 * from the driver.
 *
 * Source: v4l2_g_ext_ctrls, v4l2_s_ext_ctrls and v4l2_try_ext_ctrls of the kernel; VIRTIO 1.4, Media Device, "V4L2
 * ioctls".
 */
export async function extendedControls(session: Session, request: IoctlRequest): Promise<Answer> {
  const { payload, rest, command } = request;
  const { which, count, requestFd } = extControls.read(payload);
  const arrayBytes = count * extControl.size;
  if (count > MAX_CONTROLS || rest.length < arrayBytes) return { status: Errno.EINVAL, payload: [payload] };
  const array = Buffer.from(rest.subarray(0, arrayBytes));
  const refused = (status: number): Answer => ({ status, payload: [payload, array] });
  const own = which === Which.REQUEST ? session.handles?.find(requestFd) : undefined;
  if (which === Which.REQUEST && own === undefined) return refused(Errno.EINVAL);
  if (count === 0 && (await isClassHidden(session, which))) {
    payload.writeUInt32LE(0, extControls.offset.errorIdx);
    return refused(Errno.EINVAL);
  }

  const { turn, policy } = session.context;
  if (turn.over) await turn.next();
  turn.spend(count * Price.RECORD);
  const lists = await readLists(session, array, rest.subarray(arrayBytes));
  if (isFailure(lists)) return refused(lists.errno);
  const forNode = nodeControls(policy, array);
  const pointed = await readPointed(session, command, forNode, lists);
  if (isFailure(pointed)) return refused(pointed.errno);
  return transfer(session, request, { array, forNode, pointed }, own);
}

/** The values in the guest's pages, for each control whose union is a pointer; null for the others. */
async function readPointed(
  session: Session,
  command: Command,
  forNode: Buffer,
  lists: readonly (SgList | null)[],
): Promise<Result<(Pointed | null)[]>> {
  const found: (Pointed | null)[] = [];
  const total = lists.reduce((sum, list) => sum + (list?.size ?? 0), 0);
  const copies = total > 0 ? command.borrow(total) : NONE;
  let at = 0;
  for (let index = 0; index < lists.length; index++) {
    const list = lists[index]!;
    const isPointer = list && hasPayload(session, forNode.readUInt32LE(index * extControl.size));
    // Most answers are cached, so there is nothing to wait for.
    const known = typeof isPointer === 'object' ? await isPointer : isPointer;
    if (isFailure(known)) return known;
    found.push(list && known ? { list, bytes: copies.subarray(at, at + list.size) } : null);
    at += list?.size ?? 0;
  }
  const errno = await read(session, command, found);
  return errno !== 0 ? failure(errno) : found;
}

/** The controls of one command: the guest's array, the array that the node gets, and the values behind the pointers. */
interface Values {
  readonly array: Buffer;
  readonly forNode: Buffer;
  readonly pointed: readonly (Pointed | null)[];
}

async function transfer(
  session: Session,
  request: IoctlRequest,
  { array, forNode, pointed }: Values,
  own: number | undefined,
): Promise<Answer> {
  const { payload, row } = request;
  const controls = extControls.encode({ ...extControls.read(payload), requestFd: 0, pad20: 0 });
  const isSet = row.nr === Ioctl.S_EXT_CTRLS;
  const isDeferred = isSet && session.requests?.isDeferring === true;
  const bytes = pointed.reduce((sum, each) => sum + (each?.bytes.length ?? 0), 0);
  // The lane works on a copy: the values are copied to it and back.
  session.context.turn.spend(2 * bytes);
  const status = await session.call({
    kind: 'controls',
    nr: isDeferred ? Ioctl.TRY_EXT_CTRLS : row.nr,
    controls,
    array: forNode,
    payloads: pointed.map((each) => each?.bytes ?? null),
    ...(own !== undefined && { request: own }),
  });
  takeBack(forNode, array);
  if (status === 0 && isSet) session.requests?.remember(valuesOf(array, pointed));
  // S_EXT_CTRLS does not say which value is wrong, because it has set none; TRY_EXT_CTRLS does.
  if (status !== 0 && isDeferred)
    controls.writeUInt32LE(extControls.read(controls).count, extControls.offset.errorIdx);
  const answer = { status, payload: [guestControls(payload, controls), array] };
  if (status !== 0 || bytes === 0) return answer;
  return {
    ...answer,
    holds: bytes + request.rest.length,
    pages: async (command) => {
      const errno = await write(session, command, pointed, array);
      // EINTR: the command was answered meanwhile. The next try gets all values.
      return errno === 0 || errno === Errno.EINTR ? null : refuse(request, errno);
    },
    isSame: async (command) => row.nr === Ioctl.G_EXT_CTRLS || (await isUnchanged(session, command, pointed)),
  };
}

/** Whether the guest's pages still have the values that the driver was given. */
async function isUnchanged(
  session: Session,
  command: Command,
  pointed: readonly (Pointed | null)[],
): Promise<boolean> {
  const now = pointed.map((each) => each && { ...each, bytes: new Uint8Array(each.bytes.length) });
  const errno = await read(session, command, now);
  return errno === 0 && pointed.every((each, index) => !each || equals(each.bytes, now[index]!.bytes));
}

const equals = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0;

/** The controls that were set, each with a copy of its value if the union is a pointer. */
function valuesOf(array: Buffer, pointed: readonly (Pointed | null)[]): SetControl[] {
  return pointed.map((each, index) => ({
    record: Buffer.from(array.subarray(index * extControl.size, (index + 1) * extControl.size)),
    payload: each && Buffer.from(each.bytes),
  }));
}

/**
 * The guest's struct v4l2_ext_controls with the kernel's results. Pointer and request_fd stay as the guest set them.
 */
function guestControls(guest: Buffer, host: Buffer): Buffer {
  const { errorIdx, which, count } = extControls.read(host);
  return extControls.encode({ ...extControls.read(guest), which, count, errorIdx });
}

/**
 * The SG list of each control with size > 0, for any type, because the guest's driver sends one for each; null for
 * the others. EINVAL: the lists do not add up; no guest page was read then.
 */
async function readLists(session: Session, array: Buffer, rest: Buffer): Promise<Result<(SgList | null)[]>> {
  const { turn } = session.context;
  const sizes: number[] = [];
  let total = 0;
  for (let at = extControl.offset.size; at < array.length; at += extControl.size) {
    const size = array.readUInt32LE(at);
    total += size;
    if (total > MAX_CONTROL_PAYLOAD) return failure(Errno.ENOMEM);
    sizes.push(size);
  }
  const lists = new SgLists(rest, turn);
  const found: (SgList | null)[] = [];
  while (found.length < sizes.length) {
    const size = sizes[found.length]!;
    const list = size > 0 ? lists.next(size) : null;
    if (isFailure(list)) return list;
    if (list || size === 0) found.push(list);
    else await turn.next();
  }
  return found;
}

/**
 * Whether the kernel takes the union of this control as a pointer. Only then may the bridge put a pointer there. The
 * flags of the id are masked, as G/S/TRY_EXT_CTRLS do; with flags, QUERY_EXT_CTRL would describe another control.
 * Fails if this cannot be known now: without the pointer, the driver would believe that there is no room.
 */
function hasPayload(session: Session, givenId: number): boolean | Promise<Result<boolean>> {
  const id = givenId & CONTROL_ID_MASK;
  return session.context.node.traits.get(payloadTrait(id)) ?? queryPayload(session, id);
}

async function queryPayload(session: Session, id: number): Promise<Result<boolean>> {
  const query = Buffer.alloc(queryExtCtrl.size);
  query.writeUInt32LE(id, queryExtCtrl.offset.id);
  const errno = await session.ioctl(Ioctl.QUERY_EXT_CTRL, query);
  if (errno !== 0) return isLasting(errno) ? false : failure(errno);
  const payload = (queryExtCtrl.read(query).flags & ControlFlag.HAS_PAYLOAD) !== 0;
  session.context.node.traits.set(payloadTrait(id), payload);
  return payload;
}

const payloadTrait = (id: number): string => `payload:${id}`;

/** Copies the values from the guest's pages. Errnos: EFAULT outside guest memory, EINTR if the command was answered. */
async function read(
  session: Session,
  command: Command,
  pointed: readonly (Pointed | null)[],
): Promise<number> {
  const { memory } = session.context;
  let into: Uint8Array;
  const copy = new ListCopy((address, at, length) => memory.copyOut(address, into, at, length));
  for (const each of pointed) {
    if (!each) continue;
    into = each.bytes;
    copy.begin(each.list, into.length);
    const errno = advance(session, command, copy);
    if (errno !== 0 && (await errno) !== 0) return errno;
  }
  return 0;
}

/** Copies the kernel's values to the guest's pages: at most as many bytes as it offered. Errnos: as for read(). */
async function write(
  session: Session,
  command: Command,
  pointed: readonly (Pointed | null)[],
  array: Buffer,
): Promise<number> {
  const { memory } = session.context;
  let from: Uint8Array;
  const copy = new ListCopy((address, at, length) => memory.copyIn(address, from, at, length));
  for (const [index, each] of pointed.entries()) {
    if (!each) continue;
    from = each.bytes;
    const size = array.readUInt32LE(index * extControl.size + extControl.offset.size);
    copy.begin(each.list, Math.min(size, from.length));
    const errno = advance(session, command, copy);
    if (errno !== 0 && (await errno) !== 0) return errno;
  }
  return 0;
}

/** Runs a copy to its end. If it fits into this turn, the errno is returned at once, without a promise. */
function advance(session: Session, command: Command, copy: PacedCopy): number | Promise<number> {
  const { turn } = session.context;
  try {
    if (copy.advance(turn)) return 0;
  } catch (error) {
    return faultOf(error);
  }
  return runCopy(turn, copy, () => !command.isWritable).then((isDone) => (isDone ? 0 : Errno.EINTR), faultOf);
}

function faultOf(error: unknown): number {
  if (error instanceof GuestMemoryError) return Errno.EFAULT;
  throw error;
}
