/**
 * V4L2_MEMORY_DMABUF, which VIRTIO calls VIRTIO_OBJECT: the memory of a buffer is objects that were exported before,
 * named by UUIDs. One UUID for each plane follows the last plane record, in the device-readable and in the
 * device-writable part (VIRTIO 1.4, Media Device, "Memory types"). The descriptor fields of the records come back as
 * the guest sent them.
 */
import { Errno } from '../../errno.js';
import { failure } from '../../result.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { UUID_BYTES } from '../protocol.js';
import { guestPlanes, guestRecord, hostRecord } from '../queues/buffer-record.js';
import type { BufferCall, MemoryType } from './memory-type.js';

export const object: MemoryType = {
  attach(call) {
    const { session, queue, vb, guest, nr } = call;
    const lengths = guestPlanes(queue, vb, guest).map(({ length }) => length);
    const host = hostRecord(queue, vb, guest, lengths);
    if (nr === Ioctl.QUERYBUF) return { host };
    const uuids = readUuids(call);
    const descriptors = uuids?.map((uuid) => session.context.objects?.find(uuid) ?? -1);
    if (!uuids || !descriptors || descriptors.includes(-1)) return failure(Errno.EINVAL);
    const settle = (errno: number): void => {
      if (errno !== 0) return;
      if (!vb.isPrepared)
        for (const [number, plane] of vb.planes.entries()) plane.attachObject(uuids[number]!);
      vb.prepare(nr === Ioctl.PREPARE_BUF);
    };
    return { host: { ...host, descriptors }, settle };
  },

  restore(call, host) {
    const { queue, vb, guest } = call;
    const given = readUuids(call);
    const uuids = vb.planes.map((plane, number) => plane.object ?? given?.[number] ?? NIL);
    const own = guestPlanes(queue, vb, guest).map(({ m }) => ({ m }));
    return [...guestRecord(queue, vb, host, guest, own), ...uuids];
  },

  release: () => undefined,
};

/** The UUID (16 bytes) of each plane of the host's buffer; null: the guest sent fewer. */
function readUuids({ vb, guest }: BufferCall): Uint8Array[] | null {
  if (guest.rest.length < vb.planes.length * UUID_BYTES) return null;
  return vb.planes.map((_, number) => guest.rest.subarray(number * UUID_BYTES, (number + 1) * UUID_BYTES));
}

const NIL = new Uint8Array(UUID_BYTES);
