/** V4L2 records, made without the tables of the product. */

/** struct v4l2_buffer, 88 bytes. Its request_fd is 1, a descriptor that must not reach the kernel. */
export function bufferRecord(fields: {
  type: number;
  memory: number;
  flags?: number;
  length?: number;
  m?: bigint;
}): Uint8Array {
  const view = new DataView(new ArrayBuffer(88));
  view.setUint32(4, fields.type, true);
  view.setUint32(12, fields.flags ?? 0, true);
  view.setUint32(60, fields.memory, true);
  view.setBigUint64(64, fields.m ?? 0n, true);
  view.setUint32(72, fields.length ?? 0, true);
  view.setInt32(80, 1, true);
  return new Uint8Array(view.buffer);
}

/** struct v4l2_ext_controls, 32 bytes. Its request_fd is 1 and its pointer no address; neither may reach the kernel. */
export function controlsRecord(count: number, which = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(32));
  view.setUint32(0, which, true);
  view.setUint32(4, count, true);
  view.setInt32(12, 1, true);
  view.setBigUint64(24, 0x1122334455667788n, true);
  return new Uint8Array(view.buffer);
}

/** struct v4l2_ext_control, 20 bytes. */
export function control(size: number, value = 0n): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(20));
  view.setUint32(0, 0x00980900, true);
  view.setUint32(4, size, true);
  view.setBigUint64(12, value, true);
  return new Uint8Array(view.buffer);
}

/** struct v4l2_edid, 40 bytes. Its pointer is no address, so it must not reach the kernel. */
export function edidRecord(blocks: number, startBlock = 0): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(40));
  view.setUint32(4, startBlock, true);
  view.setUint32(8, blocks, true);
  view.setBigUint64(32, 0x1122334455667788n, true);
  return new Uint8Array(view.buffer);
}

export const u32 = (bytes: Uint8Array, at: number): number =>
  new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
export const u64 = (bytes: Uint8Array, at: number): bigint =>
  new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true);
