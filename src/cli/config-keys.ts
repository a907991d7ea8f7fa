/** The keys of a configuration: a flag of `serve` each, of the same name. */
import type { Effect, Key, Kind, Level } from '../config/key.js';
import { type FlagName, flags } from './serve.js';

interface Row {
  readonly level: Level;
  readonly kind: Kind;
  readonly effect: Effect;
  /** `true`: it is in no outer place. */
  readonly own?: boolean;
  readonly default?: string | boolean;
  readonly unset?: string;
  readonly rival?: string;
  /** Instead of the help of the flag. */
  readonly describe?: string;
}

const node = (kind: Kind, effect: Effect, more: Partial<Row> = {}): Row => ({
  level: 'node',
  kind,
  effect,
  ...more,
});
const vm = (kind: Kind, effect: Effect, more: Partial<Row> = {}): Row => ({
  level: 'vm',
  kind,
  effect,
  ...more,
});
const whole = (kind: Kind, effect: Effect, more: Partial<Row> = {}): Row => ({
  level: 'process',
  kind,
  effect,
  ...more,
});

/** One row for each flag. null: it has no meaning in a file. */
const rows: Readonly<Record<FlagName, Row | null>> = {
  config: null,
  vm: null,
  device: node('path', 'restart', {
    own: true,
    describe: 'V4L2 node to serve, or a link to it, which decides what is served after a replug',
  }),
  'socket-path': node('path', 'restart', { own: true, describe: 'socket to listen on for the VMM' }),
  'device-fd': node('descriptor', 'restart', { own: true }),
  fd: node('descriptor', 'restart', { own: true }),
  // For the program itself, when it starts again as another user.
  'listening-fd': null,
  card: node('text', 'the next VM', {
    own: true,
    unset: "the device's own name",
    describe: 'name of the device in the guest',
  }),
  user: whole('text', 'restart', { unset: 'the user that starts the process' }),
  group: whole('text', 'restart', { unset: 'the primary group of user' }),
  'socket-mode': vm('mode', 'restart', { unset: '0600, with socket-group 0660' }),
  'socket-user': vm('text', 'restart', { unset: 'user' }),
  'socket-group': vm('text', 'restart', { unset: 'the group of the process' }),
  'allow-uid': vm('list', 'new connections', { unset: 'all that can connect' }),
  wait: node('switch', 'restart'),
  'shm-size': node('size', 'the next VM', { default: '1G', rival: 'no-shm' }),
  'no-shm': node('switch', 'the next VM', { default: false, rival: 'shm-size' }),
  mmap: node('choice', 'the next VM'),
  frontend: vm('choice', 'the next VM'),
  'mem-slots': vm('switch', 'the next VM'),
  objects: vm('switch', 'restart'),
  'shared-pages': node('switch', 'the next VM'),
  'error-events': node('switch', 'the next VM'),
  requests: node('choice', 'restart'),
  'allow-controls': node('words', 'new sessions', { unset: 'all' }),
  'deny-controls': node('words', 'new sessions', { unset: 'none' }),
  'allow-formats': node('words', 'new sessions', { unset: 'all' }),
  'deny-formats': node('words', 'new sessions', { unset: 'none' }),
  'max-sessions': node('count', 'new sessions', { default: '128' }),
  'max-buffers': node('count', 'new sessions', { default: '64' }),
  'max-buffer-bytes': node('size', 'new sessions', { default: '1G' }),
  'max-device-bytes': node('size', 'new sessions', { default: '4G' }),
  'on-demand': node('switch', 'restart'),
  muted: node('switch', 'restart'),
  'mute-with': node('choice', 'restart', { unset: 'black' }),
  approve: whole('text', 'restart', { unset: 'nobody is asked' }),
  control: whole('path', 'restart', { unset: 'no socket' }),
  metrics: whole('text', 'restart', { unset: 'no metrics' }),
  'log-level': whole('choice', 'now'),
  'log-format': whole('choice', 'now'),
  // A question, and what other back-ends have.
  'print-capabilities': null,
  verbosity: null,
};

/** The flags that name nodes. Those of a file are not used if one of them is given. */
export const nodeFlags: readonly FlagName[] = ['device', 'socket-path', 'device-fd', 'fd', 'card'];

interface Flag {
  readonly describe?: string;
  readonly default?: string | boolean;
  readonly choices?: readonly string[];
}

/** The keys, in the order of the help of `serve`. */
export const keys: readonly Key[] = Object.entries(rows).flatMap(([name, row]) => {
  if (!row) return [];
  const flag = flags[name as FlagName] as Flag;
  const value = row.default ?? flag.default;
  return {
    name,
    level: row.level,
    isOwn: row.own ?? false,
    kind: row.kind,
    effect: row.effect,
    describe: row.describe ?? (flag.describe ?? '').replace(/ \[default: .*\]$/, ''),
    choices: flag.choices ?? [],
    ...(value !== undefined && { default: value }),
    ...(row.unset !== undefined && { unset: row.unset }),
    ...(row.rival !== undefined && { rival: row.rival }),
  };
});
