/** A file of configuration with the flags beside it: which values hold, and what is wrong. */
import { type Served, servedOf } from '../config/change.js';
import {
  type Configuration,
  type Fault,
  type Setting,
  type Settings,
  type Value,
  valuesOf,
} from '../config/configuration.js';
import { ConfigurationError, configurationText, DEFAULT_FILE } from '../config/file.js';
import type { Key } from '../config/key.js';
import { readConfiguration } from '../config/reading.js';
import { resolved } from '../config/resolution.js';
import { keys, nodeFlags } from './config-keys.js';
import { OperatorError } from './exit.js';
import { refuseRepeated, type ServeArguments, serveOptions } from './serve.js';

/** A file, the flags beside it, and the sockets that systemd has passed. */
export interface Source {
  readonly file: string;
  /** The VMs to serve. None: all. */
  readonly vms: readonly string[];
  /** Flags that are keys, apart from those that name nodes. */
  readonly flags: Settings;
  /** The arguments as yargs gives them. */
  readonly given: ServeArguments;
  readonly activated: readonly number[];
}

/** `file`: if it is no flag. Throws ERR_USAGE. */
export function sourceOf(given: ServeArguments, activated: readonly number[], file?: string): Source {
  refuseRepeated(given);
  const overriding = keys.filter(({ name }) => !isNodeFlag(name) && given[name] !== undefined);
  return {
    file: file ?? (given.config as string | undefined) ?? DEFAULT_FILE,
    vms: (given.vm as string[] | undefined) ?? [],
    flags: new Map(overriding.map(({ name }) => [name, { value: given[name] as Value, origin: 'flag' }])),
    given,
    activated,
  };
}

export interface Read {
  /** Every value at its innermost place. Only the VMs that are asked for. */
  readonly configuration: Configuration;
  readonly faults: readonly Fault[];
}

/** Reads the file. Throws ERR_CONFIG if that is not possible, and ERR_USAGE if the flags do not go with it. */
export function readSource(source: Source): Read {
  const { configuration: written, faults } = readConfiguration(configurationText(source.file), keys, judge);
  if (faults.length > 0) return { configuration: written, faults };
  const chosen = { ...written, vms: chosenVms(source, written) };
  const configuration = resolved(withNodesOf(source, chosen), keys, source.flags);
  return { configuration, faults: servedOf(configuration).flatMap(togetherFaults) };
}

const isNodeFlag = (name: string): boolean => (nodeFlags as readonly string[]).includes(name);

/** A node on a socket, for a look at one value. */
export const plain = { device: ['/dev/null'], 'socket-path': ['/run/socket'] };
const lists: ReadonlySet<string> = new Set(['device', 'socket-path', 'card']);

/** What the flag of a key says of a value. What only the host can tell (users, descriptors) is not asked. */
function judge({ name, kind }: Key, value: Value): string | undefined {
  if (kind === 'descriptor' || kind === 'choice') return undefined;
  return refusal(() => serveOptions({ ...plain, [name]: lists.has(name) ? [value] : value }, []));
}

/** What the flags say of all values of a node. */
function togetherFaults({ node }: Served): Fault[] {
  const values = Object.entries(valuesOf(node.settings));
  const rest = Object.fromEntries(values.filter(([name]) => !isNodeFlag(name)));
  const sentence = refusal(() => serveOptions({ ...plain, ...rest }, []));
  return sentence === undefined ? [] : [{ ...node.place, sentence }];
}

/** The sentence of an ERR_USAGE, with keys in the place of flags. */
function refusal(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (error instanceof OperatorError && error.code === 'ERR_USAGE') return asKeys(error.message);
    throw error;
  }
}

/** A flag and its key have one name. */
const asKeys = (sentence: string): string => sentence.replaceAll(/--(?=[a-z])/g, '');

function chosenVms({ file, vms: wanted }: Source, { vms }: Configuration): Configuration['vms'] {
  for (const name of wanted)
    if (!vms.some((vm) => vm.name === name))
      throw new ConfigurationError(
        `${file} has no VM ${name}: it has ${vms.map((vm) => vm.name).join(', ')}`,
      );
  return wanted.length === 0 ? vms : vms.filter(({ name }) => wanted.includes(name));
}

/** The nodes of the flags in the place of those of the file, if there are any. */
function withNodesOf({ given, file, activated }: Source, configuration: Configuration): Configuration {
  const named = nodeFlags.filter((name) => given[name] !== undefined);
  if (named.length === 0) return configuration;
  const [vm, ...others] = configuration.vms;
  if (!vm || others.length > 0)
    throw usage(`--${named[0]} names the nodes of one VM: say with --vm which VM of ${file}`);
  const list = (name: string) => (given[name] as readonly string[] | undefined) ?? [];
  const { pairs } = serveOptions(Object.fromEntries(named.map((name) => [name, list(name)])), activated);
  const nodes = pairs.map((_, index) => ({
    place: { ...vm.place },
    settings: new Map(
      named.flatMap((name): [string, Setting][] => {
        const value = list(name)[index];
        return value ? [[name, { value, origin: 'flag' }]] : [];
      }),
    ),
  }));
  return { ...configuration, vms: [{ ...vm, nodes }] };
}

const usage = (message: string): OperatorError => new OperatorError('ERR_USAGE', message);

/** The error of a flag as the fault of the key that has the value. undefined: it is none, or no value is from the file. */
export function faultOf(error: unknown, configuration: Configuration): Fault | undefined {
  if (!(error instanceof OperatorError) || error.code !== 'ERR_USAGE') return undefined;
  const name = /^--([a-z-]+)/.exec(error.message)?.[1] ?? '';
  const inner = servedOf(configuration).flatMap(({ vm, node }) => [vm.settings, node.settings]);
  const origins = [configuration.settings, ...inner].map((settings) => settings.get(name)?.origin);
  const place = origins.find((origin) => typeof origin === 'object');
  return place && { ...place, sentence: asKeys(error.message) };
}
