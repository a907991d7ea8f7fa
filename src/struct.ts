/**
 * Fixed-layout little-endian records. A record is declared as an ordered list of fields. Its size and the offset of
 * each field follow from the declaration.
 *
 * There is no implicit padding: if a C structure has holes, the declaration names them (`pad4`, `bytes(n)`).
 */

/** One field: its width in bytes and how it is read from and written to a view. */
export interface Field<T> {
  readonly size: number;
  get(view: DataView, at: number): T;
  set(view: DataView, at: number, value: T): void;
}

export type Fields = Record<string, Field<unknown>>;
// biome-ignore lint/suspicious/noExplicitAny: a field of any type; the record's own type is inferred from it.
type AnyFields = Record<string, Field<any>>;
export type ValueOf<F extends Fields> = { [K in keyof F]: F[K] extends Field<infer T> ? T : never };

/** A declared record. `read` and `write` throw RangeError if the bytes are too few for it. */
export interface Struct<F extends Fields> extends Field<ValueOf<F>> {
  readonly offset: { readonly [K in keyof F]: number };
  read(bytes: Uint8Array, at?: number): ValueOf<F>;
  write(bytes: Uint8Array, value: ValueOf<F>, at?: number): void;
  /** A new buffer of exactly `size` bytes that holds `value`. */
  encode(value: ValueOf<F>): Buffer;
}

const HIGH = 0x1_0000_0000;

export const u8: Field<number> = {
  size: 1,
  get: (view, at) => view.getUint8(at),
  set: (view, at, value) => view.setUint8(at, value),
};

export const u16: Field<number> = {
  size: 2,
  get: (view, at) => view.getUint16(at, true),
  set: (view, at, value) => view.setUint16(at, value, true),
};

export const u32: Field<number> = {
  size: 4,
  get: (view, at) => view.getUint32(at, true),
  set: (view, at, value) => view.setUint32(at, value, true),
};

export const i32: Field<number> = {
  size: 4,
  get: (view, at) => view.getInt32(at, true),
  set: (view, at, value) => view.setInt32(at, value, true),
};

/**
 * An unsigned 64-bit number as a double. Values of 2^53 and more lose their low bits. They are never valid addresses or
 * lengths here, so check with Number.isSafeInteger before use.
 */
export const u64: Field<number> = {
  size: 8,
  get: (view, at) => view.getUint32(at + 4, true) * HIGH + view.getUint32(at, true),
  set: (view, at, value) => {
    view.setUint32(at, value % HIGH, true);
    view.setUint32(at + 4, Math.floor(value / HIGH), true);
  },
};

/** `length` raw bytes, copied in both directions. Zeros fill up a shorter value; a longer one throws RangeError. */
export function bytes(length: number): Field<Uint8Array> {
  return {
    size: length,
    get: (view, at) => new Uint8Array(view.buffer.slice(view.byteOffset + at, view.byteOffset + at + length)),
    set: (view, at, value) => {
      if (value.length > length)
        throw new RangeError(`${value.length} bytes do not fit a field of ${length}`);
      const target = new Uint8Array(view.buffer, view.byteOffset + at, length);
      target.fill(0);
      target.set(value);
    },
  };
}

/** A NUL-terminated (or full) UTF-8 string in a fixed number of bytes. */
export function text(length: number): Field<string> {
  const raw = bytes(length);
  return {
    size: length,
    get: (view, at) => {
      const value = raw.get(view, at);
      const end = value.indexOf(0);
      return Buffer.from(value.subarray(0, end < 0 ? length : end)).toString('utf8');
    },
    set: (view, at, value) => raw.set(view, at, Buffer.from(value, 'utf8').subarray(0, length)),
  };
}

/** Declares a record. `fields`: in wire order. */
export function struct<F extends AnyFields>(fields: F): Struct<F> {
  const entries = Object.entries(fields);
  const offset: Record<string, number> = {};
  let size = 0;
  for (const [name, field] of entries) {
    offset[name] = size;
    size += field.size;
  }
  const get = (view: DataView, at: number) => {
    const value: Record<string, unknown> = {};
    for (const [name, field] of entries) value[name] = field.get(view, at + offset[name]!);
    return value as ValueOf<F>;
  };
  const set = (view: DataView, at: number, value: ValueOf<F>) => {
    for (const [name, field] of entries) field.set(view, at + offset[name]!, value[name as keyof F]);
  };
  const bounded = (raw: Uint8Array, at: number) =>
    new DataView(raw.buffer, raw.byteOffset + at, boundedSize(raw, at, size));
  return {
    size,
    offset: offset as { [K in keyof F]: number },
    get,
    set,
    read: (raw, at = 0) => get(bounded(raw, at), 0),
    write: (raw, value, at = 0) => set(bounded(raw, at), 0, value),
    encode: (value) => {
      const raw = Buffer.alloc(size);
      set(new DataView(raw.buffer, raw.byteOffset, size), 0, value);
      return raw;
    },
  };
}

function boundedSize(raw: Uint8Array, at: number, size: number): number {
  if (at < 0 || at + size > raw.length)
    throw new RangeError(`a record of ${size} bytes at ${at} exceeds ${raw.length} bytes`);
  return size;
}

/** A complete record: `fields`, and 0 for every other field. */
export function filled<F extends AnyFields>(record: Struct<F>, fields: Partial<ValueOf<F>>): ValueOf<F> {
  return { ...record.read(new Uint8Array(record.size)), ...fields };
}

/** The bytes of filled(record, fields). */
export function encoded<F extends AnyFields>(record: Struct<F>, fields: Partial<ValueOf<F>>): Buffer {
  return record.encode(filled(record, fields));
}

/** No bytes. In a record: zeros. */
export const NONE = Buffer.alloc(0);

/** A DataView of the bytes of `raw`. */
export function viewOf(raw: Uint8Array): DataView {
  return new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
}
