/** G_EDID and S_EDID: the blocks follow the structure in both parts; both come back on errors, as the kernel does it. */
import { Errno } from '../errno.js';
import { EDID_BLOCK, edid, MAX_EDID_BLOCKS } from '../v4l2/layout.js';
import type { Answer } from './command.js';
import { type IoctlRequest, refuse } from './ioctl.js';
import type { Session } from './session.js';

export async function edidIoctl(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, payload, rest } = request;
  const { blocks: count } = edid.read(payload);
  if (count > MAX_EDID_BLOCKS) return refuse(request, Errno.EINVAL);
  const blocks = Buffer.alloc(count * EDID_BLOCK);
  rest.copy(blocks);
  const status = await session.call({ kind: 'edid', nr: row.nr, edid: payload, blocks });
  return { status, payload: status === Errno.ENOTTY ? [] : [payload, blocks] };
}
