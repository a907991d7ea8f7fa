/** Records with only some fields given. The other fields are 0. */
import type { Struct, ValueOf } from '../struct.js';

// biome-ignore lint/suspicious/noExplicitAny: struct() takes the same open set of fields
type AnyFields = Record<string, any>;

/** A complete record: `fields`, and 0 for every other field. */
export function filled<F extends AnyFields>(record: Struct<F>, fields: Partial<ValueOf<F>>): ValueOf<F> {
  return { ...record.read(new Uint8Array(record.size)), ...fields };
}

/** The bytes of filled(record, fields). */
export function encoded<F extends AnyFields>(record: Struct<F>, fields: Partial<ValueOf<F>>): Buffer {
  return record.encode(filled(record, fields));
}
