/**
 * G/S/TRY_EXT_CTRLS: the array follows the payload, then one SG list for each control with size > 0. Payloads are
 * copied through: read from guest pages before the ioctl, written back after it, within the command.
 */
import { Errno } from '../errno.js';
import { Ioctl } from '../v4l2/ioctls.js';
import {
  CONTROL_ID_MASK,
  ControlFlag,
  extControl,
  extControls,
  MAX_CONTROLS,
  queryExtCtrl,
  Which,
} from '../v4l2/layout.js';
import { GuestMemoryError } from '../virtio/guest-memory.js';
import { Price } from '../virtio/turn.js';
import type { Answer, Command } from './command.js';
import { byId, isClassHidden, nodeControls, takeBack } from './hidden-controls.js';
import { type IoctlRequest, refuse, reply } from './ioctl.js';
import { pacedListCopy } from './paced-copy.js';
import { MAX_CONTROL_PAYLOAD } from './policy.js';
import type { SetControl } from './requests.js';
import type { Session } from './session.js';
import { type SgList, SgLists } from './sg-list.js';

/** A control whose union points to guest memory: where that is, and the host's copy. */
interface Pointed {
  readonly list: SgList;
  readonly bytes: Buffer;
}

export async function extendedControls(session: Session, request: IoctlRequest): Promise<Answer> {
  const { payload, rest, command } = request;
  const { which, count, requestFd } = extControls.read(payload);
  const arrayBytes = count * extControl.size;
  if (count > MAX_CONTROLS || rest.length < arrayBytes) return { status: Errno.EINVAL, payload: [payload] };
  const array = Buffer.from(rest.subarray(0, arrayBytes));
  const refused = (status: number): Answer => ({ status, payload: [payload, array] });
  const own = which === Which.REQUEST ? session.handles?.find(requestFd) : undefined;
  if (which === Which.REQUEST && own === undefined) return refused(Errno.EINVAL);
  command.onLate([payload, array], () => {
    session.degraded = true;
  });
  if (count === 0 && (await isClassHidden(session, which))) {
    payload.writeUInt32LE(0, extControls.offset.errorIdx);
    return refused(Errno.EINVAL);
  }

  const { turn, policy } = session.context;
  if (turn.over) await turn.next();
  turn.spend(count * Price.RECORD);
  const lists = await readLists(session, array, rest.subarray(arrayBytes));
  if (typeof lists === 'number') return refused(lists);
  const forNode = nodeControls(policy, array);
  const pointed = await readPointed(session, command, forNode, lists);
  if (typeof pointed === 'number') return refused(pointed);
  return transfer(session, request, { array, forNode, pointed }, own);
}

/** What the guest's pages hold, for each control whose union is a pointer. An errno where that cannot be read. */
async function readPointed(
  session: Session,
  command: Command,
  forNode: Buffer,
  lists: readonly (SgList | null)[],
): Promise<(Pointed | null)[] | number> {
  const found: (Pointed | null)[] = [];
  for (const [index, list] of lists.entries()) {
    const isPointer = list && (await hasPayload(session, forNode.readUInt32LE(index * extControl.size)));
    const pointed = isPointer ? await read(session, command, list) : null;
    if (typeof pointed === 'number') return pointed;
    found.push(pointed);
  }
  return found;
}

/** The array as the guest gave it and as the node gets it, and what its pointers stand for. */
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
  const { payload, command, row } = request;
  const controls = extControls.encode({ ...extControls.read(payload), requestFd: 0, pad20: 0 });
  const before = Buffer.from(array);
  const bytes = pointed.reduce((sum, each) => sum + (each?.bytes.length ?? 0), 0);
  // To the lane's own copy and back.
  session.context.turn.spend(2 * bytes);
  const status = await session.call({
    kind: 'controls',
    nr: row.nr,
    controls,
    array: forNode,
    payloads: pointed.map((each) => each?.bytes ?? null),
    ...(own !== undefined && { request: own }),
  });
  takeBack(forNode, array);
  // Past the deadline the guest's pages are not the command's any more.
  if (status === 0 && !command.answered) {
    for (const [index, each] of pointed.entries()) {
      if (!each) continue;
      const size = array.readUInt32LE(index * extControl.size + extControl.offset.size);
      if (!(await write(session, command, each, size)))
        return refuse({ ...request, rest: before }, Errno.EFAULT);
    }
  }
  if (status === 0 && row.nr === Ioctl.S_EXT_CTRLS) session.requests?.remember(valuesOf(array, pointed));
  return { status, payload: [guestControls(payload, controls), array] };
}

/** What was set, each value with a copy of its payload. */
function valuesOf(array: Buffer, pointed: readonly (Pointed | null)[]): SetControl[] {
  return pointed.map((each, index) => ({
    record: Buffer.from(array.subarray(index * extControl.size, (index + 1) * extControl.size)),
    payload: each && Buffer.from(each.bytes),
  }));
}

/** G_CTRL and S_CTRL: one value, in the old form. */
export async function oneControl(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, payload } = request;
  const status = await byId(session, request);
  if (status === 0 && row.nr === Ioctl.S_CTRL) {
    const value = Buffer.alloc(8);
    value.set(payload.subarray(4, 8));
    const record = extControl.encode({ id: payload.readUInt32LE(0), size: 0, reserved2: 0, value });
    session.requests?.remember([{ record, payload: null }]);
  }
  return reply(request, status);
}

/** The kernel's answer with the guest's own pointer and descriptor fields: only what the kernel decides changes. */
function guestControls(guest: Buffer, host: Buffer): Buffer {
  const { errorIdx, which, count } = extControls.read(host);
  return extControls.encode({ ...extControls.read(guest), which, count, errorIdx });
}

/**
 * The SG list of each control with size > 0, whatever its type: the driver sends one for each. An errno when they do not add
 * up: then none was looked at.
 */
async function readLists(session: Session, array: Buffer, rest: Buffer): Promise<(SgList | null)[] | number> {
  const { turn } = session.context;
  const sizes: number[] = [];
  let total = 0;
  for (let at = extControl.offset.size; at < array.length; at += extControl.size) {
    const size = array.readUInt32LE(at);
    total += size;
    if (total > MAX_CONTROL_PAYLOAD) return Errno.ENOMEM;
    sizes.push(size);
  }
  const lists = new SgLists(rest, turn);
  const found: (SgList | null)[] = [];
  while (found.length < sizes.length) {
    const size = sizes[found.length]!;
    const list = lists.next(size);
    if (typeof list === 'number') return list;
    if (list) found.push(size > 0 ? list : null);
    else await turn.next();
  }
  return found;
}

/**
 * Whether the kernel takes the union of this control as a pointer: only then may the host put one there. G/S/TRY_EXT_CTRLS
 * mask the flags of an id, QUERY_EXT_CTRL would tell of another control.
 */
function hasPayload(session: Session, givenId: number): boolean | Promise<boolean> {
  const id = givenId & CONTROL_ID_MASK;
  return session.context.node.traits.get(payloadTrait(id)) ?? queryPayload(session, id);
}

async function queryPayload(session: Session, id: number): Promise<boolean> {
  const query = Buffer.alloc(queryExtCtrl.size);
  query.writeUInt32LE(id, queryExtCtrl.offset.id);
  const errno = await session.ioctl(Ioctl.QUERY_EXT_CTRL, query);
  if (errno !== 0) return false;
  const payload = (queryExtCtrl.read(query).flags & ControlFlag.HAS_PAYLOAD) !== 0;
  session.context.node.traits.set(payloadTrait(id), payload);
  return payload;
}

const payloadTrait = (id: number): string => `payload:${id}`;

/** An errno: EFAULT where pages are not in guest memory, EINTR where the command has been answered meanwhile. */
async function read(session: Session, command: Command, list: SgList): Promise<Pointed | number> {
  const { memory, turn } = session.context;
  const bytes = Buffer.allocUnsafe(list.size);
  const move = (address: number, at: number, length: number) => memory.copyOut(address, bytes, at, length);
  try {
    const isRead = await pacedListCopy(turn, list, list.size, move, () => command.answered);
    return isRead ? { list, bytes } : Errno.EINTR;
  } catch (error) {
    if (error instanceof GuestMemoryError) return Errno.EFAULT;
    throw error;
  }
}

/** Writes back what the kernel put there: at most what the guest offered, and nothing after the answer. False: the pages are gone. */
async function write(
  session: Session,
  command: Command,
  { list, bytes }: Pointed,
  size: number,
): Promise<boolean> {
  const { memory, turn } = session.context;
  const move = (address: number, at: number, length: number) => memory.copyIn(address, bytes, at, length);
  try {
    await pacedListCopy(turn, list, Math.min(size, bytes.length), move, () => command.answered);
    return true;
  } catch (error) {
    if (error instanceof GuestMemoryError) return false;
    throw error;
  }
}
