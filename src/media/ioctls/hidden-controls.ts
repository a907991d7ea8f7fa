/**
 * Hidden controls: the operator denies them to the guest (`--allow-controls`, `--deny-controls`), so for the guest
 * the driver does not have them. In a call that names a control, a hidden id is replaced by an id that no control
 * has, so that errno and error_idx are the kernel's own. Enumerations leave hidden controls out.
 */
import { Errno } from '../../errno.js';
import { CLASS_MASK, controlClasses, DRIVER_PRIVATE_MASK, PRIVATE_BASE } from '../../v4l2/control-classes.js';
import {
  CONTROL_ID_MASK,
  ControlFlag,
  ControlType,
  extControl,
  MAX_CONTROLS,
  queryExtCtrl,
  Which,
} from '../../v4l2/control-layout.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import type { Answer } from '../commands/command.js';
import { type Access, allows, type Entry, isOpen, type Policy } from '../policy.js';
import type { Session } from '../session.js';
import { type IoctlRequest, reply } from './ioctl-request.js';

/** The id of no control. Ids from PRIVATE_BASE on count a driver's private controls, and no driver has so many. */
const NOBODY = CONTROL_ID_MASK;
const NEXT = (ControlFlag.NEXT_CTRL | ControlFlag.NEXT_COMPOUND) >>> 0;

/**
 * Whether the guest may name this id in a call that takes no alias (an id from PRIVATE_BASE on). If the policy
 * restricts controls, an id with flags is refused too: uvcvideo accepts NEXT_CTRL in S_CTRL, and would set the control
 * after the one that was checked.
 */
export function isReachable({ controls }: Policy, id: number): boolean {
  if (isOpen(controls)) return true;
  return id < PRIVATE_BASE && (allows(controls, id) || isHeading(controls, id));
}

/**
 * Whether the id is the heading of a class (it has no value) and `allow` names something of that class. Programs
 * expect the heading and the controls below it together. `deny` may still name the heading.
 */
function isHeading({ allow, deny }: Access, id: number): boolean {
  const isAbove = ({ mask, value }: Entry): boolean => ((id ^ value) & mask & CLASS_MASK) === 0;
  return (id & ~CLASS_MASK) === 1 && (allow ?? []).some(isAbove) && allows({ allow: null, deny }, id);
}

/** A copy of `array` (struct v4l2_ext_control, 20 bytes each) for the node, with NOBODY in place of hidden ids. */
export function nodeControls(policy: Policy, array: Buffer): Buffer {
  const copy = Buffer.from(array);
  if (isOpen(policy.controls)) return copy;
  for (let at = 0; at < copy.length; at += extControl.size)
    if (!isReachable(policy, copy.readUInt32LE(at))) copy.writeUInt32LE(NOBODY, at);
  return copy;
}

/** Copies the node's answer into the guest's `array`, except for the ids. Both have the same length. */
export function takeBack(answer: Buffer, array: Buffer): void {
  for (let at = 0; at < array.length; at += extControl.size)
    for (let byte = at + 4; byte < at + extControl.size; byte++) array[byte] = answer[byte]!;
}

/**
 * Runs an ioctl whose payload starts with a control id (G_CTRL, S_CTRL, QUERYMENU). The node gets NOBODY for a hidden
 * id, and the guest's id is put back. Resolves to 0 or the driver's errno.
 */
export async function byId(session: Session, { row, payload }: IoctlRequest): Promise<number> {
  const given = payload.readUInt32LE(0);
  const id = await nodeId(session, given);
  payload.writeUInt32LE(id, 0);
  const status = await session.ioctl(row.nr, payload);
  if (id !== given) payload.writeUInt32LE(given, 0);
  return status;
}

/** VIDIOC_QUERYMENU. Payload: struct v4l2_querymenu (44 bytes), and back on success. EINVAL: a hidden control. */
export async function queryMenu(session: Session, request: IoctlRequest): Promise<Answer> {
  return reply(request, await byId(session, request));
}

/**
 * VIDIOC_QUERYCTRL and VIDIOC_QUERY_EXT_CTRL. Payload: struct v4l2_queryctrl (68 bytes) or v4l2_query_ext_ctrl (232
 * bytes), and back on success; both start with id and type. With a NEXT flag in the id, hidden controls are skipped.
 * EINVAL of its own: a hidden control, or no further control.
 */
export async function queryControl(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, payload } = request;
  const id = payload.readUInt32LE(0);
  if (isOpen(session.context.policy.controls)) return reply(request, await session.ioctl(row.nr, payload));
  if (id & NEXT) return reply(request, await queryNext(session, request));
  if (id >= PRIVATE_BASE) return reply(request, await byId(session, request));
  const status = await session.ioctl(row.nr, payload);
  return reply(request, status !== 0 || (await isShown(session, payload)) ? status : Errno.EINVAL);
}

async function queryNext(session: Session, { row, payload }: IoctlRequest): Promise<number> {
  const flags = (payload.readUInt32LE(0) & ~CONTROL_ID_MASK) >>> 0;
  let id = payload.readUInt32LE(0) & CONTROL_ID_MASK;
  for (let asked = 0; asked < MAX_CONTROLS; asked++) {
    payload.fill(0);
    payload.writeUInt32LE((id | flags) >>> 0, 0);
    const status = await session.ioctl(row.nr, payload);
    if (status !== 0) return status;
    const found = payload.readUInt32LE(0);
    if (found <= id) return Errno.EINVAL; // A driver that ignores the NEXT flags would always give the same control.
    id = found;
    if (await isShown(session, payload)) return 0;
  }
  return Errno.EINVAL;
}

/** Whether the guest sees the control of a QUERYCTRL answer. It sees a heading if it sees a control below it. */
async function isShown(session: Session, answer: Buffer): Promise<boolean> {
  const id = answer.readUInt32LE(queryExtCtrl.offset.id);
  const type = answer.readUInt32LE(queryExtCtrl.offset.type);
  return type === ControlType.CLASS
    ? hasShown(session, id & CLASS_MASK)
    : isReachable(session.context.policy, id);
}

async function hasShown(session: Session, which: number): Promise<boolean> {
  for await (const _ of shownIn(session, which)) return true;
  return false;
}

/**
 * Whether all controls of the class `which` are hidden. G/S/TRY_EXT_CTRLS with a count of 0 test whether a class
 * exists. False if `which` names no class.
 */
export async function isClassHidden(session: Session, which: number): Promise<boolean> {
  const asked = which & CLASS_MASK;
  if (isOpen(session.context.policy.controls) || asked === 0 || asked >= Which.DEFAULT) return false;
  return !(await hasShown(session, asked));
}

/** The controls of a class that the guest sees, in the order of their ids, without the heading. */
async function* shownIn(session: Session, which: number) {
  const payload = Buffer.alloc(queryExtCtrl.size);
  let id = which;
  for (let asked = 0; asked < MAX_CONTROLS; asked++) {
    payload.fill(0);
    payload.writeUInt32LE((id | NEXT) >>> 0, queryExtCtrl.offset.id);
    if ((await session.ioctl(Ioctl.QUERY_EXT_CTRL, payload)) !== 0) return;
    const found = queryExtCtrl.read(payload);
    if (found.id <= id || (found.id & CLASS_MASK) !== which) return;
    id = found.id;
    if (found.type !== ControlType.CLASS && isReachable(session.context.policy, id)) yield found;
  }
}

/**
 * The id that the node gets. An alias, PRIVATE_BASE + n, means private control n: the kernel counts all of them, but
 * the bridge counts only those that the guest sees.
 */
async function nodeId(session: Session, id: number): Promise<number> {
  const { policy } = session.context;
  if (isOpen(policy.controls)) return id;
  if (id < PRIVATE_BASE) return isReachable(policy, id) ? id : NOBODY;
  let before = id - PRIVATE_BASE;
  if (before >= MAX_CONTROLS) return NOBODY;
  for await (const found of shownIn(session, controlClasses.user)) {
    const isPlain = found.type !== ControlType.INTEGER64 && !(found.flags & ControlFlag.HAS_PAYLOAD);
    if (isPlain && found.id & DRIVER_PRIVATE_MASK && before-- === 0) return found.id;
  }
  return NOBODY;
}
