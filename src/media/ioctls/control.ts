/** G_CTRL and S_CTRL: one control, without a payload. */
import { encoded } from '../../struct.js';
import { PRIVATE_BASE } from '../../v4l2/control-classes.js';
import { extControl, extControls, Which } from '../../v4l2/control-layout.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import type { Answer } from '../commands/command.js';
import type { Session } from '../session.js';
import { byId, nodeControls } from './hidden-controls.js';
import { type IoctlRequest, reply } from './ioctl-request.js';

/** Byte offset of the value in struct v4l2_control, and bytes of the union in struct v4l2_ext_control. */
const VALUE = 4;
const UNION = 8;

/**
 * VIDIOC_G_CTRL, VIDIOC_S_CTRL. Payload: struct v4l2_control (8 bytes), and back on success. EINVAL: a hidden
 * control.
 */
export async function oneControl(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, payload } = request;
  const { requests } = session;
  const id = payload.readUInt32LE(0);
  // An alias counts private controls. Requests have no name for it.
  if (row.nr !== Ioctl.S_CTRL || !requests || id >= PRIVATE_BASE)
    return reply(request, await byId(session, request));
  const status = await (requests.isDeferring ? check(session, payload) : byId(session, request));
  if (status === 0) requests.remember([{ record: recordOf(payload), payload: null }]);
  return reply(request, status);
}

/** The driver checks and adjusts the value in `payload`, but does not set it. Resolves to an errno. */
async function check(session: Session, payload: Buffer): Promise<number> {
  const array = nodeControls(session.context.policy, recordOf(payload));
  const status = await session.call({
    kind: 'controls',
    nr: Ioctl.TRY_EXT_CTRLS,
    controls: encoded(extControls, { which: Which.CURRENT, count: 1 }),
    array,
    payloads: [null],
  });
  if (status === 0) payload.set(extControl.read(array).value.subarray(0, VALUE), VALUE);
  return status;
}

/** The struct v4l2_ext_control (20 bytes) of a struct v4l2_control. */
function recordOf(payload: Buffer): Buffer {
  const value = Buffer.alloc(UNION);
  value.set(payload.subarray(VALUE, 2 * VALUE));
  return extControl.encode({ id: payload.readUInt32LE(0), size: 0, reserved2: 0, value });
}
