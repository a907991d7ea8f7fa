/** What the nodes of a configuration must have, and may not have together. */
import { resolve } from 'node:path';
import type {
  Configuration,
  Fault,
  NodeConfiguration,
  Origin,
  Place,
  VmConfiguration,
} from './configuration.js';

/** One of each must be there, or may be. */
const DEVICES = ['device', 'device-fd'] as const;
const SOCKETS = ['socket-path', 'fd'] as const;
/** No two nodes of a configuration may have the same one. */
const unique: Readonly<Record<string, (text: string) => string>> = {
  'socket-path': (text) => resolve(text),
  fd: (text) => `${Number(text)}`,
  'device-fd': (text) => `${Number(text)}`,
};

export function nodeFaults({ vms }: Configuration): Fault[] {
  return [...vms.flatMap(vmFaults), ...repeated(vms.flatMap(({ nodes }) => nodes))];
}

function vmFaults({ nodes }: VmConfiguration): Fault[] {
  const some = nodes.some((node) => has(node, SOCKETS));
  return nodes.flatMap((node) => [
    ...(has(node, DEVICES)
      ? []
      : [fault(node.place, 'device is missing: name a node, for example /dev/video0')]),
    // Without any, systemd passes the sockets.
    ...(some && !has(node, SOCKETS)
      ? [fault(node.place, 'socket-path is missing: other nodes of this VM have one')]
      : []),
    ...[DEVICES, SOCKETS].flatMap(([one, other]) => {
      const second = node.settings.has(one) ? node.settings.get(other) : undefined;
      return second ? [fault(placeIn(second.origin, node), `${one} and ${other} exclude each other`)] : [];
    }),
  ]);
}

function repeated(nodes: readonly NodeConfiguration[]): Fault[] {
  return Object.entries(unique).flatMap(([name, normal]) => {
    const first = new Map<string, Place>();
    return nodes.flatMap((node) => {
      const setting = node.settings.get(name);
      if (!setting) return [];
      const [value, place] = [normal(`${setting.value}`), placeIn(setting.origin, node)];
      const before = first.get(value);
      if (!before) first.set(value, place);
      return before ? [fault(place, `${name} ${setting.value} is in line ${before.line} already`)] : [];
    });
  });
}

const has = ({ settings }: NodeConfiguration, names: readonly string[]): boolean =>
  names.some((name) => settings.has(name));

const placeIn = (origin: Origin, node: NodeConfiguration): Place =>
  typeof origin === 'string' ? node.place : origin;

const fault = ({ line, column }: Place, sentence: string): Fault => ({ line, column, sentence });
