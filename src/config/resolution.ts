/** The values that hold: defaults, then the file from its outermost place to the node, then flags. */
import type { Configuration, Setting, Settings } from './configuration.js';
import type { Key, Level } from './key.js';

/**
 * Every key has its value at its innermost place, and nowhere else. `flags`: what the command line says, apart from the
 * nodes.
 */
export function resolved(
  { settings, vms }: Configuration,
  keys: readonly Key[],
  flags: Settings,
): Configuration {
  const at = (level: Level, ...layers: Settings[]) => merged(keys, level, [...layers, flags]);
  return {
    settings: at('process', settings),
    vms: vms.map((vm) => ({
      ...vm,
      settings: at('vm', settings, vm.settings),
      nodes: vm.nodes.map((node) => ({
        ...node,
        settings: at('node', settings, vm.settings, node.settings),
      })),
    })),
  };
}

function merged(keys: readonly Key[], level: Level, layers: readonly Settings[]): Settings {
  const here = keys.filter((key) => key.level === level);
  const found = new Map<string, Setting>();
  for (const layer of layers)
    for (const { name, rival } of here) {
      const setting = layer.get(name);
      if (!setting) continue;
      found.set(name, setting);
      if (rival !== undefined && !layer.has(rival) && setting.value !== false) found.delete(rival);
    }
  return new Map(
    here.flatMap(({ name, default: value }): [string, Setting][] => {
      const setting = found.get(name);
      if (setting) return [[name, setting]];
      if (value === undefined || (value !== false && isVoid(name, here, found))) return [];
      return [[name, { value, origin: 'default' }]];
    }),
  );
}

/** Whether a rival of the key says that it has no value: its default does not hold either. */
const isVoid = (name: string, keys: readonly Key[], found: ReadonlyMap<string, Setting>): boolean =>
  keys.some((key) => key.rival === name && found.has(key.name) && found.get(key.name)?.value !== false);
