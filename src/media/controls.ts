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
import { isLasting } from '../v4l2/refusal.js';
import { GuestMemoryError } from '../virtio/guest-memory.js';
import type { Answer } from './command.js';
import { byId, isClassHidden, nodeControls, takeBack } from './hidden-controls.js';
import { type IoctlRequest, refuse, reply } from './ioctl.js';
import { MAX_CONTROL_PAYLOAD } from './policy.js';
import type { SetControl } from './requests.js';
import type { Session } from './session.js';
import { type Piece, SgLists } from './sg-list.js';

/** A control whose union points to guest memory: where that is, and the host's copy. */
interface Pointed {
  readonly pieces: readonly Piece[];
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

  const lists = readLists(array, rest.subarray(arrayBytes));
  if (typeof lists === 'number') return refused(lists);
  const forNode = nodeControls(session.context.policy, array);
  const pointed: (Pointed | null)[] = [];
  for (const [index, pieces] of lists.entries()) {
    const id = extControl.read(forNode, index * extControl.size).id;
    const has = pieces !== null && (await hasPayload(session, id));
    const found = has === true ? read(session, pieces!) : has || null;
    if (typeof found === 'number') return refused(found);
    pointed.push(found);
  }
  return transfer(session, request, { array, forNode, pointed }, own);
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
  const { payload, row } = request;
  const controls = extControls.encode({ ...extControls.read(payload), requestFd: 0, pad20: 0 });
  const before = Buffer.from(array);
  const status = await session.call({
    kind: 'controls',
    nr: row.nr,
    controls,
    array: forNode,
    payloads: pointed.map((each) => each?.bytes ?? null),
    ...(own !== undefined && { request: own }),
  });
  takeBack(forNode, array);
  if (status === 0 && row.nr === Ioctl.S_EXT_CTRLS) session.requests?.remember(valuesOf(array, pointed));
  const answer = { status, payload: [guestControls(payload, controls), array] };
  if (status !== 0 || !pointed.some(Boolean)) return answer;
  return {
    ...answer,
    holds: pointed.reduce((sum, each) => sum + (each?.bytes.length ?? 0), 0),
    pages: () => {
      const isWhole = pointed.every((each, index) => !each || write(session, each, sizeAt(array, index)));
      return isWhole ? null : refuse({ ...request, rest: before }, Errno.EFAULT);
    },
    isSame: () =>
      row.nr === Ioctl.G_EXT_CTRLS || pointed.every((each) => !each || isUnchanged(session, each)),
  };
}

const sizeAt = (array: Buffer, index: number): number => extControl.read(array, index * extControl.size).size;

/** Whether the guest's pages say what the driver was given and has kept. */
function isUnchanged(session: Session, { pieces, bytes }: Pointed): boolean {
  const now = read(session, pieces);
  return typeof now !== 'number' && now.bytes.equals(bytes);
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

/** The SG list of each control with size > 0, whatever its type: the driver sends one for each. An errno when they do not add up. */
function readLists(array: Buffer, rest: Buffer): (Piece[] | null)[] | number {
  const lists = new SgLists(rest);
  const found: (Piece[] | null)[] = [];
  let total = 0;
  for (let at = 0; at < array.length; at += extControl.size) {
    const { size } = extControl.read(array, at);
    total += size;
    if (total > MAX_CONTROL_PAYLOAD) return Errno.ENOMEM;
    const pieces = lists.next(size);
    if (typeof pieces === 'number') return pieces;
    found.push(size > 0 ? pieces : null);
  }
  return found;
}

/**
 * Whether the kernel takes the union of this control as a pointer: only then may the host put one there. G/S/TRY_EXT_CTRLS
 * mask the flags of an id, QUERY_EXT_CTRL would tell of another control. An errno where that cannot be known now: without
 * the pointer a driver would be told that there is no room.
 */
async function hasPayload(session: Session, givenId: number): Promise<boolean | number> {
  const { traits } = session.context.node;
  const id = givenId & CONTROL_ID_MASK;
  const key = `payload:${id}`;
  const known = traits.get(key);
  if (known !== undefined) return known;
  const query = Buffer.alloc(queryExtCtrl.size);
  query.writeUInt32LE(id, queryExtCtrl.offset.id);
  const errno = await session.ioctl(Ioctl.QUERY_EXT_CTRL, query);
  if (errno !== 0) return isLasting(errno) ? false : errno;
  const payload = (queryExtCtrl.read(query).flags & ControlFlag.HAS_PAYLOAD) !== 0;
  traits.set(key, payload);
  return payload;
}

function read(session: Session, pieces: readonly Piece[]): Pointed | number {
  try {
    const bytes = Buffer.concat(
      pieces.map(({ start, length }) => session.context.memory.read(start, length)),
    );
    return { pieces, bytes };
  } catch (error) {
    if (error instanceof GuestMemoryError) return Errno.EFAULT;
    throw error;
  }
}

/** Writes back what the kernel put there: at most what the guest offered. */
function write(session: Session, { pieces, bytes }: Pointed, size: number): boolean {
  let at = 0;
  try {
    for (const { start, length } of pieces) {
      const end = Math.min(at + length, size, bytes.length);
      if (end > at) session.context.memory.write(start, bytes.subarray(at, end));
      at += length;
    }
    return true;
  } catch (error) {
    if (error instanceof GuestMemoryError) return false;
    throw error;
  }
}
