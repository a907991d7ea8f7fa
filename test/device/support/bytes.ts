/** Bytes as a hostile VMM or guest writes them: by hand, little-endian, without any code of src. */

export function u16(...values: number[]): Buffer {
  const raw = Buffer.alloc(2 * values.length);
  for (const [at, value] of values.entries()) raw.writeUInt16LE(value & 0xffff, 2 * at);
  return raw;
}

export function u32(...values: number[]): Buffer {
  const raw = Buffer.alloc(4 * values.length);
  for (const [at, value] of values.entries()) raw.writeUInt32LE(value >>> 0, 4 * at);
  return raw;
}

export function u64(...values: (number | bigint)[]): Buffer {
  const raw = Buffer.alloc(8 * values.length);
  for (const [at, value] of values.entries()) raw.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), 8 * at);
  return raw;
}

export const zeros = (length: number): Buffer => Buffer.alloc(length);
export const filled = (length: number, byte: number): Buffer => Buffer.alloc(length, byte);
export const join = (...parts: readonly Uint8Array[]): Buffer => Buffer.concat(parts);

/** `size` zero bytes, with a 32-bit number or bytes written at some offsets. */
export function record(size: number, fields: Readonly<Record<number, number | Uint8Array>>): Buffer {
  const raw = Buffer.alloc(size);
  for (const [at, value] of Object.entries(fields))
    raw.set(typeof value === 'number' ? u32(value) : value, Number(at));
  return raw;
}
