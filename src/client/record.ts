/** Records of which only some fields matter: the rest is 0, as after a memset. */
import type { Struct, ValueOf } from '../struct.js';

// biome-ignore lint/suspicious/noExplicitAny: struct() takes the same open set of fields
type AnyFields = Record<string, any>;

export function filled<F extends AnyFields>(record: Struct<F>, fields: Partial<ValueOf<F>>): ValueOf<F> {
  return { ...record.read(new Uint8Array(record.size)), ...fields };
}

/** The bytes of such a record. */
export function encoded<F extends AnyFields>(record: Struct<F>, fields: Partial<ValueOf<F>>): Buffer {
  return record.encode(filled(record, fields));
}
