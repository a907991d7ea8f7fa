/** G_EDID and S_EDID. */
import { Errno } from '../../errno.js';
import { EDID_BLOCK, edid, MAX_EDID_BLOCKS } from '../../v4l2/layout.js';
import type { Answer } from '../commands/command.js';
import type { Session } from '../session.js';
import { type IoctlRequest, refuse } from './ioctl-request.js';

/**
 * VIDIOC_G_EDID and VIDIOC_S_EDID. Payload: struct v4l2_edid (40 bytes), then its blocks of 128 bytes each, in the
 * request and in the answer. On errors both are answered too, as the kernel does, but not on ENOTTY. EINVAL of its
 * own: more than MAX_EDID_BLOCKS.
 */
export async function edidIoctl(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, payload, rest } = request;
  const { blocks: count } = edid.read(payload);
  if (count > MAX_EDID_BLOCKS) return refuse(request, Errno.EINVAL);
  const blocks = Buffer.alloc(count * EDID_BLOCK);
  rest.copy(blocks);
  const status = await session.call({ kind: 'edid', nr: row.nr, edid: payload, blocks });
  return { status, payload: status === Errno.ENOTTY ? [] : [payload, blocks] };
}
