/** CMD_MMAP and CMD_MUNMAP. */
import { closeSync } from 'node:fs';
import { Errno } from '../../errno.js';
import { isFailure } from '../../result.js';
import { Memory } from '../../v4l2/layout.js';
import { exportPlane } from '../ioctls/expbuf.js';
import type { SharedMemory, SharedMemorySlot } from '../memory/shared-memory.js';
import { mmapCommand, mmapResponse, munmapCommand, responseHeader } from '../protocol.js';
import type { BufferQueue } from '../queues/buffer-queue.js';
import type { VideoBuffer, VideoPlane } from '../queues/video-buffer.js';
import type { Session } from '../session.js';
import type { Answer, Command } from './command.js';
import type { Execution } from './execution.js';

/** Maps a plane into the guest, as a task of the session. The flags are ignored: every mapping is writable. */
async function mmap(session: Session, command: Command): Promise<Answer> {
  const { offset } = mmapCommand.read(command.request);
  const found = session.mmapOffsets.find(offset);
  const { shared } = session.context;
  // If there is no SHM region 0, MMAP must fail: the Linux driver would map the guest's physical page 0.
  if (!found || !shared.usable || !isMappable(found.queue) || hasUpperHalf(command.request)) {
    return { status: Errno.EINVAL };
  }
  const { plane } = found;
  const errno = await mapPlane(session, found.queue, found.buffer, plane, found.number);
  if (errno !== 0 || !plane.slot) return { status: errno || Errno.EIO };
  const { slot } = plane;
  return { status: 0, payload: [mapped(slot)], dropped: () => void shared.unmap(slot.offset) };
}

/**
 * CMD_MMAP: struct virtio_media_cmd_mmap in, offset and length in SHM region 0 out (bytes). EINVAL: an offset that
 * QUERYBUF did not give, no SHM region 0, or a queue that is not MMAP. EIO and other errnos come from EXPBUF or from
 * the VMM.
 */
export const mapping: Execution<Command> = { refuse: (_, status) => ({ status }), run: mmap };

/** CMD_MUNMAP. It names no session, because a mapping outlives its session. EINVAL: nothing is mapped there. */
export function munmap(shared: SharedMemory, command: Command): Answer {
  return { status: shared.unmap(munmapCommand.read(command.request).driverAddress) };
}

async function mapPlane(
  session: Session,
  queue: BufferQueue,
  buffer: VideoBuffer,
  plane: VideoPlane,
  number: number,
): Promise<number> {
  const { shared } = session.context;
  if (plane.slot?.backing === 'arena') return shared.mapSlot(plane.slot);
  if (plane.slot && plane.slot.mapped > 0) {
    plane.slot.references++;
    return 0;
  }
  const fd = await exportPlane(session, queue.type, buffer.index, number);
  if (isFailure(fd)) return fd.errno;
  try {
    const slot = await shared.mapDescriptor(fd, plane.length, plane.slot);
    if (isFailure(slot)) return slot.errno;
    plane.place(slot);
    return 0;
  } finally {
    closeSync(fd);
  }
}

function mapped({ offset, length }: SharedMemorySlot): Uint8Array {
  return mmapResponse
    .encode({ status: 0, reserved: 0, driverAddress: offset, length })
    .subarray(responseHeader.size);
}

/** The draft's form has 24 bytes and a 64-bit offset. */
function hasUpperHalf(request: Buffer): boolean {
  return request.length >= mmapCommand.size + 4 && request.readUInt32LE(mmapCommand.size) !== 0;
}

/** Only MMAP buffers can be mapped, and only if the VMM has SHM region 0. */
function isMappable({ backing, memory }: BufferQueue): boolean {
  return memory === Memory.MMAP && backing !== 'unmapped';
}
