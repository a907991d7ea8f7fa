/** Every flag of `serve` is a key of its configuration, and the other way round; the page and the schema have them all. */
import assert from 'node:assert/strict';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import yargs from 'yargs';
import { keys } from '../../../src/cli/config-keys.js';
import { sourceOf } from '../../../src/cli/config-source.js';
import { knownOptions } from '../../../src/cli/known-options.js';
import { flags, options, serve, serveOptions } from '../../../src/cli/serve.js';
import { readConfiguration } from '../../../src/config/reading.js';
import { schemaOf } from '../../../src/config/schema.js';
import { read, rowsOf } from '../support/document.js';
import { one } from './support/serve-arguments.js';

/** What has no meaning in a file: which file it is, a question, and what other programs give. */
const notKeys = ['config', 'vm', 'listening-fd', 'print-capabilities', 'verbosity'];
const flagNames = () => {
  const parser = yargs();
  (serve.builder as (parser: unknown) => unknown)(parser);
  const { key } = knownOptions(parser);
  return Object.keys(key).filter((name) => !['help', 'version'].includes(name) && !/[A-Z]/.test(name));
};
const named = (name: string) => keys.find((key) => key.name === name)!;

describe('cli/config-keys', () => {
  it('has a key for each flag that yargs knows, and no other', () => {
    assert.ok(flagNames().length > 30);
    const wanted = flagNames().filter((name) => !notKeys.includes(name));
    assert.deepEqual(keys.map(({ name }) => name).toSorted(), wanted.toSorted());
    for (const name of notKeys) assert.ok(name in flags, name);
  });

  it('has the kind, the choices and the default of the flag', () => {
    for (const [name, flag] of Object.entries(flags) as [string, Record<string, unknown>][]) {
      const key = named(name);
      if (!key) continue;
      assert.equal(key.kind === 'switch', flag.type === 'boolean', name);
      assert.deepEqual(key.choices, flag.choices ?? [], name);
      assert.equal(key.kind === 'choice', flag.choices !== undefined, name);
      assert.equal(key.kind === 'list' || key.isOwn, flag.array === true, name);
      if (flag.default !== undefined) assert.equal(key.default, flag.default, name);
      const [, said] = /\[default: (.*)\]$/.exec(flag.describe as string) ?? [];
      if (said && key.default !== undefined) assert.equal(key.default, said, name);
      else if (said) assert.ok(key.unset, name);
    }
  });

  it('has defaults that mean the same as no flag', () => {
    const given = keys.filter((key) => key.default !== undefined && key.name !== 'no-shm');
    const all = Object.fromEntries(given.map((key) => [key.name, key.default]));
    assert.deepEqual(serveOptions({ ...one, ...all }, []), serveOptions(one, []));
  });

  it('yargs gives no flag that was not given: it would go before the file', () => {
    for (const [name, flag] of Object.entries(options)) assert.ok(!('default' in flag), name);
    const given = yargs().options(options).parseSync('--objects --shm-size 1M') as Record<string, unknown>;
    assert.deepEqual([...sourceOf(given, []).flags.keys()], ['shm-size', 'objects']);
  });

  it('is on the page: each key with its place, its default and when a change holds', () => {
    const page = read('docs/configuration.md');
    const rows = new Map(rowsOf(page).map((row) => [row[0], row]));
    for (const { name, level, isOwn, effect, default: value } of keys) {
      const [, places, , def, change] = rows.get(`\`${name}\``) ?? [];
      assert.ok(places, `${name} has no row`);
      assert.equal(places, isOwn ? `${level} only` : level === 'process' ? 'top' : level, name);
      if (value !== undefined) assert.equal(def, `\`${value}\``, name);
      assert.equal(change, effect, name);
    }
  });
});

describe('the schema of a configuration', () => {
  const schema = JSON.parse(read('docs/config.schema.json'));
  const example = read('docs/config.example.yaml');
  const validate = new Ajv({ strictTypes: false, strictRequired: false, allErrors: true }).compile(schema);
  const isRight = (yaml: string) => readConfiguration(yaml, keys, () => undefined).faults.length === 0;

  it('is the file that ships', () => {
    assert.deepEqual(schema, JSON.parse(JSON.stringify(schemaOf(keys))));
  });

  it('admits the example, which has no fault', () => {
    assert.ok(validate(parse(example)), JSON.stringify(validate.errors));
    assert.ok(isRight(example));
  });

  for (const [from, to] of [
    ['frontend: qemu', 'frontend: vmware'],
    ['card: Desk', 'crad: Desk'],
    ['device: /dev/v4l/by-path/platform', 'device: by-path/platform'],
    ['vms:', 'wms:'],
    ['log-format: json', 'card: json'],
    ['    socket-user: libvirt-qemu', '    user: libvirt-qemu'],
    ['card: Door', 'device-fd: 5'],
    ['card: Door', 'fd: 5'],
    ['card: Door', 'wait: maybe'],
    ['[private]', '[]'],
    ['[private]', '{}'],
    ['allow-uid: [crosvm]', 'socket-mode: rwx'],
    ['  door:', '  "do or":'],
  ] as const)
    it(`refuses what the reader refuses: ${to.trim()} in the place of ${from.trim()}`, () => {
      const broken = example.replace(from, to);
      assert.notEqual(broken, example);
      assert.equal(validate(parse(broken)), false);
      assert.equal(isRight(broken), false);
    });
});
