/** The command `serve`: its options. What it does with them is in serve-run.ts, which needs the addon. */
import type { Argv, CommandModule } from 'yargs';
import type { ServeOptions } from '../daemon.js';
import { configureLog, type LogFormat, type LogLevel, logFormats, logLevels } from '../log.js';
import { MAX_CARD_BYTES } from '../media/protocol.js';
import { vmmNames } from '../vhost-user/vmm-traits.js';
import { listeningDescriptors } from './activation.js';
import { OperatorError } from './exit.js';
import { policyFlags, policyOf } from './policy.js';
import type { PrivilegeFlags } from './privileges.js';
import { servedNodesOf } from './served-nodes.js';
import { DEFAULT_SHARED_MEMORY, sharedMemorySize } from './size.js';

const requestModes: readonly ServeOptions['requests'][] = ['auto', 'handles', 'off'];
const mmapModes: readonly ServeOptions['mmap'][] = ['auto', 'arena', 'direct'];

const several = { type: 'string', array: true, nargs: 1 } as const;
const one = { type: 'string', nargs: 1 } as const;

/** One row for each option, in the order of the help text. */
const flags = {
  device: {
    ...several,
    describe:
      'V4L2 node to serve, or a link to it: the choice decides which device is served after a replug (docs/reliability.md); repeat it, with its socket, for more nodes of the same VM',
  },
  'socket-path': {
    ...several,
    describe: 'socket to listen on for the VMM; the n-th belongs to the n-th device',
  },
  'device-fd': {
    ...several,
    describe:
      'inherited descriptor of an open node, instead of --device; an unplugged one is not found again',
  },
  fd: {
    ...several,
    describe: 'inherited descriptor of a connected socket, instead of --socket-path; ends with it',
  },
  'listening-fd': { ...several, hidden: true },
  card: {
    ...several,
    describe: `name of the device in the guest, at most ${MAX_CARD_BYTES} bytes; the n-th belongs to the n-th device [default: its own]`,
  },
  user: {
    ...one,
    describe: 'start as root, then become this user (name or number), without capabilities',
  },
  group: {
    ...one,
    describe:
      'with this group only; that of the node, mostly video, or the node cannot be opened [default: the primary group of --user]',
  },
  'socket-mode': {
    ...one,
    describe: 'permissions of the sockets, octal [default: 0600, with --socket-group 0660]',
  },
  'socket-user': { ...one, describe: 'owner of the sockets: the user of the VMM [default: --user]' },
  'socket-group': { ...one, describe: 'group of the sockets: a group of the VMM' },
  'allow-uid': {
    ...several,
    describe: 'user (name or number) whose processes may connect; repeat it for more [default: all that can]',
  },
  wait: {
    type: 'boolean',
    default: false,
    describe: 'serve a node that waits for a producer (v4l2loopback with exclusive_caps=1) when it has one',
  },
  'shm-size': {
    ...one,
    describe: `size of the window that buffers are mapped into [default: ${DEFAULT_SHARED_MEMORY}]`,
  },
  'no-shm': { type: 'boolean', describe: 'offer no window: for VMMs without shared memory regions' },
  mmap: {
    ...one,
    choices: mmapModes,
    default: 'auto',
    describe: 'how the window is backed: one arena, or each buffer directly',
  },
  frontend: {
    ...one,
    choices: vmmNames,
    default: 'auto',
    describe: 'which VMM connects; auto tells by what it negotiates',
  },
  'mem-slots': {
    type: 'boolean',
    default: false,
    describe: 'offer CONFIGURE_MEM_SLOTS (QEMU 11.1 dies of it at a guest reset)',
  },
  objects: {
    type: 'boolean',
    default: false,
    describe: 'offer buffers as virtio objects (EXPBUF and the OBJECT memory type)',
  },
  'shared-pages': {
    type: 'boolean',
    default: false,
    describe: 'let the guest use its own pages as buffers (SHARED_PAGES, V4L2 USERPTR)',
  },
  'error-events': {
    type: 'boolean',
    default: false,
    describe:
      'tell the guest of a lost device by an error event too (the Linux driver of today does not survive it)',
  },
  requests: {
    ...one,
    choices: requestModes,
    default: 'auto',
    describe: 'media requests, which stateless codecs need: made for the guest, or by it (docs/stateless.md)',
  },
  ...policyFlags,
  'log-level': {
    ...one,
    choices: logLevels,
    default: 'info',
    describe: 'least severity that is logged to stderr',
  },
  'log-format': { ...one, choices: logFormats, default: 'text', describe: 'form of a log line' },
  'print-capabilities': { type: 'boolean', describe: 'print what this back-end is as JSON, and end' },
  verbosity: { ...one, hidden: true },
} as const;

/** The result of yargs for `flags`. A scalar option that is given twice comes as an array. */
export type ServeArguments = Readonly<Record<string, unknown>>;

export const serve: CommandModule<object, ServeArguments> = {
  command: 'serve',
  describe: 'give host nodes to a virtual machine, one socket a node',
  builder: (parser: Argv) =>
    parser
      .options(flags)
      .example('$0 serve --device /dev/video0 --socket-path /run/vmb/video0.sock', 'one camera')
      .example(
        '$0 serve --device /dev/video0 --socket-path a.sock --device /dev/video2 --socket-path b.sock',
        'two',
      ),
  handler: async (given) => {
    const environment = { ...process.env };
    const asked = serveOptions(given, listeningDescriptors(process.env, process.pid));
    configureLog(given['log-level'] as LogLevel, given['log-format'] as LogFormat);
    const { run } = await import('./serve-run.js');
    process.exitCode = await run(asked, privilegeFlags(given), environment);
  },
};

function privilegeFlags(given: ServeArguments): PrivilegeFlags {
  return {
    user: given.user as string | undefined,
    group: given.group as string | undefined,
    socketUser: given['socket-user'] as string | undefined,
    socketGroup: given['socket-group'] as string | undefined,
    socketMode: given['socket-mode'] as string | undefined,
    allowUid: (given['allow-uid'] as string[] | undefined) ?? [],
  };
}

/** `activated`: the descriptors of the sockets that systemd has passed. Throws ERR_USAGE, ERR_DESCRIPTOR. */
export function serveOptions(given: ServeArguments, activated: readonly number[]): ServeOptions {
  refuseRepeated(given);
  if (given['no-shm'] === true && given['shm-size'] !== undefined)
    throw new OperatorError('ERR_USAGE', '--no-shm and --shm-size exclude each other');
  if (given['no-shm'] === true && given.mmap !== 'auto')
    throw new OperatorError(
      'ERR_USAGE',
      '--no-shm and --mmap exclude each other: there is no window to map into',
    );
  const list = (name: string) => (given[name] as string[] | undefined) ?? [];
  return {
    pairs: servedNodesOf(
      {
        device: list('device'),
        deviceFd: list('device-fd'),
        socketPath: list('socket-path'),
        fd: list('fd'),
        listeningFd: list('listening-fd'),
        card: list('card'),
      },
      activated,
    ),
    sharedMemorySize:
      given['no-shm'] === true ? 0 : sharedMemorySize((given['shm-size'] as string) ?? DEFAULT_SHARED_MEMORY),
    mmap: given.mmap as ServeOptions['mmap'],
    policy: policyOf(given),
    frontend: given.frontend as ServeOptions['frontend'],
    memSlots: given['mem-slots'] === true,
    objects: given.objects === true,
    sharedPages: given['shared-pages'] === true,
    errorEvents: given['error-events'] === true,
    requests: given.requests as ServeOptions['requests'],
    ...(given.wait === true && { wait: true }),
  };
}

function refuseRepeated(given: ServeArguments): void {
  for (const [name, flag] of Object.entries(flags)) {
    if (!('array' in flag) && Array.isArray(given[name]))
      throw new OperatorError('ERR_USAGE', `--${name} is given twice`);
  }
}
