/** The nodes of a configuration as pairs of node and socket. */
import { resolve } from 'node:path';
import { nameOf, type Served } from '../config/change.js';
import { type Settings, textOf, valuesOf } from '../config/configuration.js';
import { ConfigurationError } from '../config/file.js';
import type { ServePair } from '../daemon.js';
import { boundPath } from './activation.js';
import { nodeFlags } from './config-keys.js';
import type { Source } from './config-source.js';
import { OperatorError } from './exit.js';
import type { PrivilegeFlags } from './privileges.js';
import { privilegeFlags, serveOptions } from './serve.js';

/** The flags about users: those of the process, and those of the VM. */
export const privilegesIn = (settings: Settings, { vm }: Served): PrivilegeFlags =>
  privilegeFlags({ ...valuesOf(settings), ...valuesOf(vm.settings) });

/** The pair of each node. Sockets that listen already, and those of systemd, are given out in order. */
export function pairsOf(nodes: readonly Served[], { activated, given, file, vms }: Source): ServePair[] {
  const listening = [...((given['listening-fd'] as readonly string[] | undefined) ?? [])];
  const isListening = listening.length > 0;
  const passed = [...activated];
  const names = new Set(nodes.map(({ vm }) => vm.name));
  if (passed.length > 0 && names.size > 1 && vms.length === 0)
    throw usage(`systemd passed sockets for one VM: say with --vm which VM of ${file}`);
  const pairs = nodes.map((served) => {
    const { settings } = served.node;
    const path = textOf(settings, 'socket-path');
    const fd = isListening && path !== undefined ? listening.shift() : undefined;
    if (isListening && path !== undefined && !isSocketOf(path, fd)) throw changed(file);
    const isOpen = path !== undefined || settings.has('fd');
    const socket = isOpen ? undefined : passed.shift();
    if (!isOpen && socket === undefined)
      throw new ConfigurationError(`${nameOf(served)} has no socket: name one with socket-path in ${file}`);
    return pairOf(served, socket, fd);
  });
  if (listening.length > 0) throw changed(file);
  if (passed.length > 0)
    throw usage(`systemd passed ${activated.length} sockets, and the nodes of ${file} do not need as many`);
  return pairs;
}

/** Whether a descriptor may listen at a path. The file may have changed since the program gave up its privileges. */
function isSocketOf(path: string, fd: string | undefined): boolean {
  const bound = fd === undefined ? undefined : boundPath(Number(fd));
  return fd !== undefined && (bound === undefined || resolve(bound) === resolve(path));
}

const changed = (file: string): ConfigurationError =>
  new ConfigurationError(`${file} has changed since this program started: start it again`);

/** Throws ERR_USAGE, ERR_DESCRIPTOR. */
export function pairOf({ vm, node }: Served, activated?: number, listeningFd?: string): ServePair {
  const values = { ...valuesOf(vm.settings), ...valuesOf(node.settings) };
  const lists = Object.fromEntries(
    nodeFlags.flatMap((name) => (values[name] === undefined ? [] : [[name, [values[name]]]])),
  );
  const { pairs, ...own } = serveOptions(
    { ...values, ...lists, ...(listeningFd !== undefined && { 'listening-fd': [listeningFd] }) },
    activated === undefined ? [] : [activated],
  );
  return { ...pairs[0]!, vm: vm.name, own };
}

const usage = (message: string): OperatorError => new OperatorError('ERR_USAGE', message);
