/** The JSON Schema of a configuration (draft 07, which editors know best). */
import { isList, type Key, kinds, type Level, mayBeAt } from './key.js';

type Schema = Readonly<Record<string, unknown>>;

export function schemaOf(keys: readonly Key[]): Schema {
  const node = {
    ...closed(keys, 'node'),
    allOf: [exactlyOne('device', 'device-fd'), { not: { required: ['socket-path', 'fd'] } }],
  };
  const vm = closed(keys, 'vm', {
    nodes: { description: 'the nodes of the VM', type: 'array', minItems: 1, items: node },
  });
  const vms = {
    description: 'the VMs by their names',
    type: 'object',
    minProperties: 1,
    propertyNames: { pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$' },
    additionalProperties: vm,
  };
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Configuration of virtio-media-bridge',
    ...closed(keys, 'process', { vms }),
    definitions: Object.fromEntries(keys.map((key) => [key.name, schemaOfKey(key)])),
  };
}

/** A map with the keys of a place and no others. All of `inner` must be there. */
function closed(keys: readonly Key[], level: Level, inner: Readonly<Record<string, Schema>> = {}): Schema {
  const here = keys.filter((key) => mayBeAt(key, level));
  return {
    type: 'object',
    additionalProperties: false,
    ...(Object.keys(inner).length > 0 && { required: Object.keys(inner) }),
    properties: {
      ...Object.fromEntries(here.map(({ name }) => [name, { $ref: `#/definitions/${name}` }])),
      ...inner,
    },
  };
}

function schemaOfKey(key: Key): Schema {
  const { describe: description, choices, default: value, kind } = key;
  const one = kind === 'choice' ? { enum: choices } : kinds[kind].schema;
  return {
    description,
    ...(isList(key) ? { anyOf: [one, { type: 'array', minItems: 1, items: one }] } : one),
    ...(value !== undefined && { default: value }),
  };
}

const exactlyOne = (...names: readonly string[]): Schema => ({
  oneOf: names.map((name) => ({ required: [name] })),
});
