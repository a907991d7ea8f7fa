/** Reads the text of a configuration, and says what is wrong with it and where. */
import type { Configuration, Fault, Settings, Value, VmConfiguration } from './configuration.js';
import { type Entry, type Item, SourceDocument } from './document.js';
import { isList, type Key, kinds, type Level, levels, mayBeAt } from './key.js';
import { nodeFaults } from './node-faults.js';
import { meant } from './suggestion.js';

export interface Reading {
  /** What is right of it. */
  readonly configuration: Configuration;
  /** In the order of the file. None: all of it is right. */
  readonly faults: readonly Fault[];
}

/** What is wrong with the value of a key, as a sentence; undefined: nothing. */
export type Judge = (key: Key, value: Value) => string | undefined;

/** The keys that have maps and lists of others. */
const structure: Readonly<Record<Level, readonly string[]>> = { process: ['vms'], vm: ['nodes'], node: [] };
/** A place in words. */
const placeWords: Readonly<Record<Level, string>> = {
  process: 'the top of the file',
  vm: 'a VM',
  node: 'a node',
};
const NAME = /^[A-Za-z0-9][\w.-]{0,63}$/;

export function readConfiguration(text: string, keys: readonly Key[], judge: Judge): Reading {
  const source = new SourceDocument(text);
  // What follows from broken YAML would be guesses.
  if (source.faults.length > 0)
    return { configuration: { settings: new Map(), vms: [] }, faults: source.faults };
  const reader = new Reader(source, keys, judge);
  const configuration = reader.configuration(source.root);
  for (const fault of nodeFaults(configuration)) source.fault(fault, fault.sentence);
  const faults = source.faults.toSorted((a, b) => a.line - b.line || a.column - b.column);
  return { configuration, faults };
}

class Reader {
  readonly #keys: ReadonlyMap<string, Key>;

  constructor(
    private readonly source: SourceDocument,
    keys: readonly Key[],
    private readonly judge: Judge,
  ) {
    this.#keys = new Map(keys.map((key) => [key.name, key]));
  }

  configuration(root: Item): Configuration {
    const entries = root.entries('a configuration');
    const vms = entries.find(({ name }) => name === 'vms');
    const named = vms?.value.entries('vms') ?? [];
    if (this.source.faults.length === 0) {
      if (!vms) this.source.fault(root.place, 'vms is missing: it has the VMs by their names');
      else if (named.length === 0) this.source.fault(vms.place, 'vms has no VM');
    }
    return {
      settings: this.#settings(entries, 'process'),
      vms: named.flatMap((entry) => this.#vm(entry)),
    };
  }

  #vm({ name, place, value }: Entry): VmConfiguration[] {
    if (!NAME.test(name)) {
      this.source.fault(place, 'the name of a VM has letters, digits, and `_`, `.` and `-` behind the first');
      return [];
    }
    const before = this.source.faults.length;
    const entries = value.entries(`the VM ${name}`);
    const nodes = entries.find((entry) => entry.name === 'nodes');
    const items = nodes?.value.items('nodes') ?? [];
    if (this.source.faults.length === before) {
      if (!nodes) this.source.fault(place, `nodes is missing: the VM ${name} has none`);
      else if (items.length === 0) this.source.fault(nodes.place, 'nodes has no node');
    }
    return [
      {
        name,
        place,
        settings: this.#settings(entries, 'vm'),
        nodes: items.map((item) => ({
          place: item.place,
          settings: this.#settings(item.entries('a node'), 'node'),
        })),
      },
    ];
  }

  #settings(entries: readonly Entry[], level: Level): Settings {
    return new Map(
      entries.flatMap((entry) => {
        const { name, place } = entry;
        if (structure[level].includes(name)) return [];
        const key = this.#keys.get(name);
        if (!key || !mayBeAt(key, level)) {
          this.source.fault(place, this.#misplaced(name, key, level));
          return [];
        }
        const value = this.#value(key, entry);
        return value === undefined ? [] : [[name, { value, origin: place }] as const];
      }),
    );
  }

  #misplaced(name: string, key: Key | undefined, level: Level): string {
    if (key) return `${name} is a key of ${placeWords[key.level]}, not of ${placeWords[level]}`;
    const home = levels.find((each) => structure[each].includes(name));
    if (home) return `${name} is a key of ${placeWords[home]}, not of ${placeWords[level]}`;
    const here = [...this.#keys.values()].filter((each) => mayBeAt(each, level)).map((each) => each.name);
    const near = meant(name, [...structure[level], ...here]);
    const elsewhere = near || meant(name, [...this.#keys.keys()]);
    return `there is no key ${name}${elsewhere}`;
  }

  #value(key: Key, { name, value: item }: Entry): Value | undefined {
    if (!isList(key)) return this.#scalar(key, item);
    const items = item.isList ? item.items(name) : [item];
    if (items.length === 0) this.source.fault(item.place, `${name} has no value`);
    const texts = items.map((each) => this.#text(key, each));
    const right = texts.filter((text) => text !== undefined);
    if (right.length !== items.length || right.length === 0) return undefined;
    return key.kind === 'words' ? right.join(',') : right;
  }

  #scalar(key: Key, item: Item): Value | undefined {
    const text = this.#text(key, item);
    return text !== undefined && key.kind === 'switch' ? text === 'true' : text;
  }

  /** One value that the rules of its key admit. */
  #text(key: Key, item: Item): string | undefined {
    const text = item.text(key.name);
    if (text === undefined) return undefined;
    const wrong = wrongForm(key, text) ?? this.judge(key, valueIn(key, text));
    if (wrong === undefined) return text;
    this.source.fault(item.place, wrong);
    return undefined;
  }
}

const valueIn = ({ kind }: Key, text: string): Value =>
  kind === 'switch' ? text === 'true' : kind === 'list' ? [text] : text;

/** Words that other programs take for true and false. */
const switches: ReadonlyMap<string, string> = new Map([
  ...['yes', 'on', '1', 'y', 'True', 'TRUE'].map((word) => [word, 'true'] as const),
  ...['no', 'off', '0', 'n', 'False', 'FALSE'].map((word) => [word, 'false'] as const),
]);

function wrongForm({ name, kind, choices }: Key, text: string): string | undefined {
  if (kind === 'choice')
    return choices.includes(text)
      ? undefined
      : `${name} must be one of ${choices.join(', ')}, not ${text}${meant(text, choices)}`;
  const { fits, must } = kinds[kind];
  if (fits?.(text) !== false) return undefined;
  const word = kind === 'switch' ? switches.get(text) : undefined;
  return `${name} must be ${must}, not ${text || 'empty'}${word ? `: did you mean ${word}?` : ''}`;
}
