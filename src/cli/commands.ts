/** The table of commands: what the help, the man pages and the completions are made of. */
import type { Argv, CommandModule, Options } from 'yargs';

export const NAME = 'virtio-media-bridge';
export const SUMMARY = 'Gives a virtual machine a V4L2 device of this host as a virtio-media device.';

export interface Command {
  /** In the notation of yargs: the name, then its arguments. */
  readonly usage: string;
  /** Absent: the command is neither in the help nor in the manual. */
  readonly describe?: string;
  /** Loads the command's file. That happens only when the command runs, so help and wrong usage need no addon. */
  load(): Promise<Loaded>;
}

/** The CommandModule of a command file, without the type of its arguments. */
export interface Loaded {
  readonly builder?: unknown;
  handler(options: never): void | Promise<void>;
}

export const commands: readonly Command[] = [
  {
    usage: 'serve',
    describe: 'give host nodes to a virtual machine, one socket a node',
    load: async () => (await import('./serve.js')).serve,
  },
  {
    usage: 'list',
    describe: 'show the V4L2 nodes of this host, and which of them can be served',
    load: async () => (await import('./list.js')).list,
  },
  {
    usage: 'inspect <device>',
    describe: 'show everything about one node',
    load: async () => (await import('./inspect.js')).inspect,
  },
  {
    usage: 'probe <socket>',
    describe: 'connect to a bridge as a VMM and its guest would, and capture a picture or run a codec',
    load: async () => (await import('./probe.js')).probe,
  },
  {
    usage: 'doctor [target]',
    describe: 'look for what keeps a guest from its camera',
    load: async () => (await import('./doctor.js')).doctor,
  },
  {
    usage: 'config <action> [file]',
    describe: 'check or show a configuration of serve, or print its JSON Schema',
    load: async () => (await import('./config.js')).config,
  },
  {
    usage: 'status',
    describe: 'show what running bridges serve, to whom, and how it goes',
    load: async () => (await import('./status.js')).status,
  },
  {
    usage: 'mute [device]',
    describe: 'keep the picture of a camera from every guest: it stops, and guests get black frames',
    load: async () => (await import('./mute.js')).mute,
  },
  {
    usage: 'unmute [device]',
    describe: 'give the picture of a camera to its guests again',
    load: async () => (await import('./mute.js')).unmute,
  },
  {
    usage: 'rules',
    describe: 'print a udev rule that names a camera or codec, and serves it when it is plugged in',
    load: async () => (await import('./rules.js')).rules,
  },
];

/** The command as yargs wants it; its file is loaded when yargs asks for its options. */
export function whenAsked(command: Command): CommandModule {
  return {
    command: command.usage,
    describe: command.describe ?? false,
    builder: (parser: Argv) => build(parser, command),
    handler: async (options) => (await command.load()).handler(options as never),
  } as CommandModule;
}

/** Gives the options of a command to a parser. */
export async function build(parser: Argv, { load }: Command): Promise<Argv> {
  const { builder } = await load();
  return typeof builder === 'function'
    ? builder(parser)
    : parser.options((builder ?? {}) as Record<string, Options>);
}
