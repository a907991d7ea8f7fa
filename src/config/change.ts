/** The difference between two configurations in which every key is at its innermost place. */
import type {
  Configuration,
  NodeConfiguration,
  Setting,
  Settings,
  VmConfiguration,
} from './configuration.js';
import type { Effect, Key } from './key.js';

/** One node of one VM. */
export interface Served {
  readonly vm: VmConfiguration;
  readonly node: NodeConfiguration;
}

export interface KeptNode {
  readonly before: Served;
  /** What holds from now on: the new values, but the old ones of keys that need a restart. */
  readonly after: Served;
}

/** A key that has another value, and of what: a node, a VM, or nothing for the process. */
export interface ChangedKey {
  readonly name: string;
  readonly of: string;
  readonly effect: Effect;
}

export interface Change {
  readonly added: readonly Served[];
  readonly removed: readonly Served[];
  readonly kept: readonly KeptNode[];
  readonly keys: readonly ChangedKey[];
  /** The values of the process that hold from now on. */
  readonly settings: Settings;
}

/** A node is the same one if its VM, its socket and its device are. */
export function changeOf(
  before: Pick<Configuration, 'settings'> & { readonly nodes: readonly Served[] },
  after: Configuration,
  keys: readonly Key[],
): Change {
  const wanted = servedOf(after);
  const old = new Map(before.nodes.map((each) => [identity(each), each]));
  const now = new Map(wanted.map((each) => [identity(each), each]));
  const process = merged(before.settings, after.settings, keys, '');
  const kept = wanted.flatMap((each) => {
    const last = old.get(identity(each));
    return last ? [keep(last, each, keys)] : [];
  });
  return {
    added: wanted.filter((each) => !old.has(identity(each))),
    removed: before.nodes.filter((each) => !now.has(identity(each))),
    kept: kept.map(({ node }) => node),
    keys: distinct([...process.keys, ...kept.flatMap((each) => each.keys)]),
    settings: process.settings,
  };
}

/** The nodes of all VMs, in the order of the file. */
export const servedOf = ({ vms }: Configuration): Served[] =>
  vms.flatMap((vm) => vm.nodes.map((node) => ({ vm, node })));

/** `desk: /dev/video0`. */
export function nameOf({ vm, node }: Served): string {
  const device = node.settings.get('device')?.value ?? `descriptor ${node.settings.get('device-fd')?.value}`;
  return `${vm.name}: ${device}`;
}

/** Nodes without a socket have those of systemd, by their order. */
function identity({ vm, node: { settings, ...node } }: Served): string {
  const at = ['socket-path', 'fd'].find((name) => settings.has(name));
  const socket = at
    ? `${at} ${settings.get(at)?.value}`
    : vm.nodes.findIndex((each) => each.place === node.place);
  return JSON.stringify([vm.name, socket, settings.get('device')?.value, settings.get('device-fd')?.value]);
}

function keep(before: Served, after: Served, keys: readonly Key[]): { node: KeptNode; keys: ChangedKey[] } {
  const vm = merged(before.vm.settings, after.vm.settings, keys, after.vm.name);
  const node = merged(before.node.settings, after.node.settings, keys, nameOf(after));
  const served = {
    vm: { ...after.vm, settings: vm.settings },
    node: { ...after.node, settings: node.settings },
  };
  return { node: { before, after: served }, keys: [...vm.keys, ...node.keys] };
}

/** The new values, but the old ones of keys that need a restart; and which keys have another value. */
function merged(
  before: Settings,
  after: Settings,
  keys: readonly Key[],
  of: string,
): { settings: Settings; keys: ChangedKey[] } {
  const changed: ChangedKey[] = [];
  const settings = new Map<string, Setting>();
  for (const { name, effect } of keys) {
    const [old, next] = [before.get(name), after.get(name)];
    const isOther = JSON.stringify(old?.value) !== JSON.stringify(next?.value);
    if (isOther) changed.push({ name, of, effect });
    const setting = isOther && effect === 'restart' ? old : next;
    if (setting) settings.set(name, setting);
  }
  return { settings, keys: changed };
}

/** A key of a VM is found with each of its nodes. */
const distinct = (keys: readonly ChangedKey[]): ChangedKey[] => [
  ...new Map(keys.map((key) => [`${key.of}\n${key.name}`, key])).values(),
];
