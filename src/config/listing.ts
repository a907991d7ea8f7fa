/** A configuration as YAML with the origin of each value behind it, and as JSON. */
import { Document, type YAMLMap, type YAMLSeq } from 'yaml';
import type { Configuration, Origin, Settings, Value } from './configuration.js';
import type { Key, Kind, Level } from './key.js';

/** `default`, `flag` or `FILE:LINE`. */
const originText = (file: string, origin: Origin): string =>
  typeof origin === 'string' ? origin : `${file}:${origin.line}`;

/** YAML that reads as the same configuration. `configuration`: every value at its innermost place. */
export function yamlOf(configuration: Configuration, keys: readonly Key[], file: string): string {
  const document = new Document({});
  const pages = new Pages(document, keys, file);
  const root = pages.map(configuration.settings, 'process');
  const vms = document.createNode({}) as YAMLMap;
  for (const { name, settings, nodes } of configuration.vms) {
    const vm = pages.map(settings, 'vm');
    const list = document.createNode([]) as YAMLSeq;
    for (const node of nodes) list.add(pages.map(node.settings, 'node'));
    vm.set('nodes', list);
    vms.set(name, vm);
  }
  root.set('vms', vms);
  document.contents = root as typeof document.contents;
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}

/** Numbers need no quotes. */
const plain = (kind: Kind, value: Value): unknown =>
  kind === 'count' || kind === 'descriptor' ? Number(value) : value;

class Pages {
  constructor(
    private readonly document: Document,
    private readonly keys: readonly Key[],
    private readonly file: string,
  ) {}

  /** The values of a place. The keys without one are a comment at its beginning. */
  map(settings: Settings, level: Level): YAMLMap {
    const map = this.document.createNode({}) as YAMLMap;
    for (const { name, kind } of this.keys) {
      const setting = settings.get(name);
      if (!setting) continue;
      const value = this.document.createNode(plain(kind, setting.value), { flow: true });
      value.comment = ` ${originText(this.file, setting.origin)}`;
      map.set(name, value);
    }
    const unset = this.keys.filter((key) => key.level === level && !settings.has(key.name) && key.unset);
    map.comment = unset.map(({ name, unset: words }) => ` ${name}: ${words}`).join('\n') || null;
    return map;
  }
}

export interface ListedSetting {
  /** null: it has none. */
  readonly value: Value | null;
  /** `default`, `flag` or `FILE:LINE`. */
  readonly from: string;
}
type Listed = Readonly<Record<string, ListedSetting>>;

/** A configuration as plain data, keys without a value included. */
export interface Listing {
  readonly file: string;
  readonly settings: Listed;
  readonly vms: Readonly<Record<string, { readonly settings: Listed; readonly nodes: readonly Listed[] }>>;
}

export function listingOf({ settings, vms }: Configuration, keys: readonly Key[], file: string): Listing {
  const listed = (all: Settings, level: Level): Listed =>
    Object.fromEntries(
      keys
        .filter((key) => key.level === level)
        .map(({ name }) => {
          const { value, origin } = all.get(name) ?? { value: null, origin: 'default' as const };
          return [name, { value, from: originText(file, origin) }];
        }),
    );
  return {
    file,
    settings: listed(settings, 'process'),
    vms: Object.fromEntries(
      vms.map(({ name, settings: own, nodes }) => [
        name,
        { settings: listed(own, 'vm'), nodes: nodes.map((node) => listed(node.settings, 'node')) },
      ]),
    ),
  };
}
