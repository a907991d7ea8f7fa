/** The request of one ioctl, and its two forms of answer. */
import { isMultiplanar } from '../../v4l2/buffer-type.js';
import { extControl, extControls, MAX_CONTROLS } from '../../v4l2/control-layout.js';
import type { IoctlRow, Payload } from '../../v4l2/ioctls.js';
import { buffer, EDID_BLOCK, MAX_EDID_BLOCKS, Memory, plane, VIDEO_MAX_PLANES } from '../../v4l2/layout.js';
import type { Answer, Command } from '../commands/command.js';
import { UUID_BYTES } from '../protocol.js';

/** One ioctl of a guest, copied out of its memory. */
export interface IoctlRequest {
  readonly row: IoctlRow;
  /** Exactly `row.size` bytes, as the guest wrote them. Zeros if the direction is `r`. */
  readonly payload: Buffer;
  /** The bytes after the payload: planes, controls, SG lists. */
  readonly rest: Buffer;
  readonly command: Command;
}

/**
 * Kinds of payload that are answered on errors too: the Linux driver copies them to the program, or loses the errno
 * without them. The function gives how many bytes after the structure are answered at most. SG lists never are.
 */
const echoes: Readonly<Partial<Record<Payload, (request: IoctlRequest) => number>>> = {
  buffer: ({ payload }) => {
    const { type, length, memory } = buffer.read(payload);
    const planes = isMultiplanar(type) ? length * plane.size : 0;
    return memory === Memory.DMABUF ? planes + VIDEO_MAX_PLANES * UUID_BYTES : planes;
  },
  controls: ({ payload }) => Math.min(extControls.read(payload).count, MAX_CONTROLS) * extControl.size,
  edid: () => MAX_EDID_BLOCKS * EDID_BLOCK,
};

/** The answer for an errno. It has the payload as the guest sent it, if the guest's driver wants one on errors. */
export function refuse(request: IoctlRequest, status: number): Answer {
  const { row, payload, rest } = request;
  const echo = echoes[row.payload];
  return echo ? { status, payload: [payload, rest.subarray(0, echo(request))] } : { status };
}

/**
 * The usual answer. On success, the payload follows the header, unless the direction is `w`. On errors, the header
 * comes alone, because the Linux driver copies nothing to the program then.
 */
export function reply({ row, payload }: IoctlRequest, status: number): Answer {
  return status === 0 && row.direction !== 'w' ? { status, payload: [payload] } : { status };
}
