/** One ioctl of a guest on its way: what was asked, and the two forms of its answer. */
import { isMultiplanar } from '../../v4l2/buffer-type.js';
import type { IoctlRow, Payload } from '../../v4l2/ioctls.js';
import {
  buffer,
  EDID_BLOCK,
  extControl,
  extControls,
  MAX_CONTROLS,
  MAX_EDID_BLOCKS,
  Memory,
  plane,
  VIDEO_MAX_PLANES,
} from '../../v4l2/layout.js';
import type { Answer, Command } from '../commands/command.js';
import { UUID_BYTES } from '../protocol.js';

/** One ioctl of a guest, copied out of its memory. */
export interface IoctlRequest {
  readonly row: IoctlRow;
  /** Exactly `row.size` bytes: what the guest wrote, or zeros where the direction is `r`. */
  readonly payload: Buffer;
  /** What follows the payload: planes, controls, SG lists. */
  readonly rest: Buffer;
  readonly command: Command;
}

/**
 * Payloads that reach the guest's program on errors too: the driver copies them out, or hides the errno without them. How
 * many bytes of what follows the structure come back with it at most: SG lists never do.
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

/** An error answer, with the payload as it came where the guest's driver wants one. */
export function refuse(request: IoctlRequest, status: number): Answer {
  const { row, payload, rest } = request;
  const echo = echoes[row.payload];
  return echo ? { status, payload: [payload, rest.subarray(0, echo(request))] } : { status };
}

/** Header and payload on success; header alone on errors (Linux copies nothing out then). */
export function reply({ row, payload }: IoctlRequest, status: number): Answer {
  return status === 0 && row.direction !== 'w' ? { status, payload: [payload] } : { status };
}
