#!/usr/bin/env node
/** The command line: finds the command and ends the process. Everything else is in cli/, one file for each command. */
import { readFileSync } from 'node:fs';
import yargs, { type Argv, type CommandModule, type Options } from 'yargs';
import { hideBin } from 'yargs/helpers';
import { COMPLETION_REQUEST, completion, completionsOf, partialValue } from './cli/completion.js';
import { ExitCode, exitCodeOf, OperatorError } from './cli/exit.js';
import { checkFlagValues } from './cli/flag-values.js';
import { knownOptions } from './cli/known-options.js';
import { BUILD_ADDON, inPackage } from './package.js';
import { printable, printableStack } from './printable.js';

const NAME = 'virtio-media-bridge';
const MAX_WIDTH = 110;

interface Command {
  /** In the notation of yargs: the name, then its arguments. */
  readonly usage: string;
  /** Absent: the command is not in the help. */
  readonly describe?: string;
  /** Loads the command's file. That happens only when the command runs, so help and wrong usage need no addon. */
  load(): Promise<Loaded>;
}

/** The CommandModule of a command file, without the type of its arguments. */
interface Loaded {
  readonly builder?: unknown;
  handler(options: never): void | Promise<void>;
}

const commands: readonly Command[] = [
  {
    usage: 'serve',
    describe: 'give host nodes to a virtual machine, one socket a node',
    load: async () => (await import('./cli/serve.js')).serve,
  },
  {
    usage: 'list',
    describe: 'show the V4L2 nodes of this host, and which of them can be served',
    load: async () => (await import('./cli/list.js')).list,
  },
  {
    usage: 'inspect <device>',
    describe: 'show everything about one node',
    load: async () => (await import('./cli/inspect.js')).inspect,
  },
  {
    usage: 'probe <socket>',
    describe: 'connect to a bridge as a VMM and its guest would, and capture a picture or run a codec',
    load: async () => (await import('./cli/probe.js')).probe,
  },
  {
    usage: 'doctor [device]',
    describe: 'look for what keeps a guest from its camera',
    load: async () => (await import('./cli/doctor.js')).doctor,
  },
  { usage: 'completion', load: async () => completion },
];

const PRINT_CAPABILITIES = '--print-capabilities';
const helpAndVersion: ReadonlySet<string> = new Set(['--help', '-h', '--version']);

async function main(words: readonly string[]): Promise<number> {
  if (words.includes(PRINT_CAPABILITIES) || words.includes(`${PRINT_CAPABILITIES}=true`)) {
    console.log(JSON.stringify({ type: 'media', features: [] }));
    return ExitCode.OK;
  }
  if (words[0] === COMPLETION_REQUEST) return complete(words);
  const parser = parserOf(words);
  if (words.length === 0) {
    parser.showHelp('log');
    return ExitCode.OK;
  }
  await parser.parseAsync(withCommand(words));
  return Number(process.exitCode ?? ExitCode.OK);
}

/**
 * Adds `serve` if the words start with an option: management software starts a back-end with options only (QEMU,
 * docs/interop/vhost-user.rst).
 */
function withCommand(words: readonly string[]): string[] {
  const [first] = words;
  return first?.startsWith('-') && !helpAndVersion.has(first) ? ['serve', ...words] : [...words];
}

/** Prints what the last word may become. `words`: as a shell gives them, the name of this program among them. */
async function complete(words: readonly string[]): Promise<number> {
  const [, program = NAME, ...given] = words;
  const value = partialValue(given);
  const command = commandOf(given);
  if (!value || !command)
    await parserOf(words).parseAsync([COMPLETION_REQUEST, program, ...withCommand(given)]);
  else
    for (const found of completionsOf(value, knownOptions(await build(yargs(), command)))) console.log(found);
  return ExitCode.OK;
}

const commandOf = (words: readonly string[]): Command | undefined =>
  commands.find(({ usage }) => usage.split(' ')[0] === withCommand(words)[0]);

function parserOf(words: readonly string[]): Argv {
  const parser: Argv = yargs()
    .scriptName(NAME)
    .usage(`$0 <command>\n\nGives a virtual machine a V4L2 device of this host as a virtio-media device.`)
    .parserConfiguration({
      'boolean-negation': false,
      'dot-notation': false,
      'greedy-arrays': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
    })
    .locale('en')
    .version('version', 'print the version', version())
    .help('help', 'print this help')
    .alias('help', 'h')
    .strict()
    .demandCommand(1)
    .check(() => {
      checkFlagValues(words, knownOptions(parser));
      return true;
    })
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new OperatorError('ERR_USAGE', usageSentence(message));
    })
    .wrap(Math.min(MAX_WIDTH, process.stdout.columns ?? MAX_WIDTH))
    .epilogue('Exit codes and errors: docs/errors.md. Command lines of the VMMs: docs/vmm.md.');
  for (const command of commands) parser.command(whenAsked(command));
  return parser;
}

function whenAsked(command: Command): CommandModule {
  return {
    command: command.usage,
    describe: command.describe ?? false,
    builder: (parser: Argv) => build(parser, command),
    handler: async (options) => (await command.load()).handler(options as never),
  } as CommandModule;
}

async function build(parser: Argv, { load }: Command): Promise<Argv> {
  const { builder } = await load();
  return typeof builder === 'function'
    ? builder(parser)
    : parser.options((builder ?? {}) as Record<string, Options>);
}

/** The error of an addon that is absent or was built for another machine; undefined: it is another error. */
function addonProblem(error: unknown): OperatorError | undefined {
  const { code, message = '' } = error as NodeJS.ErrnoException;
  if (!message.includes('.node')) return undefined;
  if (code === 'MODULE_NOT_FOUND')
    return new OperatorError('ERR_ADDON', `there is no native addon for ${process.arch}: ${BUILD_ADDON}`);
  if (code === 'ERR_DLOPEN_FAILED')
    return new OperatorError('ERR_ADDON', `the native addon does not load here: ${BUILD_ADDON} (${message})`);
  return undefined;
}

function version(): string {
  const text = readFileSync(inPackage('package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** Whether the command line is wrong. yargs throws some errors itself and passes others to fail(). */
function isUsageError(error: unknown): error is Error {
  const { name, code } = error as NodeJS.ErrnoException;
  return name === 'YError' || code === 'ERR_USAGE';
}

/** The message of yargs as one sentence. */
function usageSentence(message: string): string {
  const choice = /Argument: (\S+), Given: (.+), Choices: (.+)/.exec(message);
  if (choice) return `--${choice[1]} must be one of ${choice[3]}, not ${choice[2]}`;
  const flat = message.replaceAll(/\s*\n\s*/g, ' ').trim();
  return flat.charAt(0).toLowerCase() + flat.slice(1);
}

/** Prints one line on stderr; the stack follows only for a fault of the bridge. Returns the exit code. */
function report(thrown: unknown, words: readonly string[]): number {
  const error = addonProblem(thrown) ?? thrown;
  if (isUsageError(error)) {
    const command = commandOf(words);
    const help = [NAME, ...(command ? [command.usage.split(' ')[0]] : []), '--help'].join(' ');
    console.error(`${NAME}: ${printable(usageSentence(error.message))} (see ${help})`);
    return ExitCode.USAGE;
  }
  const code = exitCodeOf(error);
  const isExpected = error instanceof Error && code !== ExitCode.INTERNAL;
  const text = isExpected ? printable(error.message) : printableStack(error);
  console.error(`${NAME}: ${text.replace(/\.$/, '')}`);
  return code;
}

/** `list | head`: it is no error if the reader closes the pipe early. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(ExitCode.OK);
});

const words = hideBin(process.argv);
process.on('uncaughtException', (error) => process.exit(report(error, words)));
const code = await main(words).catch((error: unknown) => report(error, words));
// process.exit is needed because a call that hangs in a driver must not keep the process. It drops output that a pipe
// has not taken yet, so wait for that first.
for (const stream of [process.stdout, process.stderr])
  await new Promise<void>((resolve) => stream.write('', () => resolve()));
process.exit(code);
