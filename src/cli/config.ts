/** The command `config`: what is wrong with a configuration, which values hold, and its JSON Schema. */
import type { Argv, CommandModule } from 'yargs';
import { servedOf } from '../config/change.js';
import { type Configuration, type Fault, faultText } from '../config/configuration.js';
import { ConfigurationError, DEFAULT_FILE } from '../config/file.js';
import { listingOf, yamlOf } from '../config/listing.js';
import { schemaOf } from '../config/schema.js';
import { keys } from './config-keys.js';
import { privilegesIn } from './config-pairs.js';
import { faultOf, readSource, type Source, sourceOf } from './config-source.js';
import { ExitCode } from './exit.js';
import { outputOf } from './output.js';
import { privilegesOf } from './privileges.js';
import { options, type ServeArguments } from './serve.js';

type Arguments = ServeArguments & {
  readonly action: Action;
  readonly file: string;
  readonly json: boolean | undefined;
};

/** One row for each action. Returns what is printed. */
const actions = {
  check: async (given: Arguments) => {
    const source = sourceOf(given, [], given.file);
    const { configuration, faults } = readSource(source);
    const all = faults.length > 0 ? faults : distinct(await accountFaults(configuration));
    if (all.length > 0) process.exitCode = ExitCode.CONFIG;
    const listed = all.map((fault) => ({ file: source.file, ...fault }));
    return outputOf(listed, given.json, (found) =>
      found.length > 0
        ? found.map((fault) => faultText(fault.file, fault)).join('\n')
        : summary(source, configuration),
    );
  },
  show: async (given: Arguments) => {
    const source = sourceOf(given, [], given.file);
    const { configuration, faults } = readSource(source);
    if (faults[0]) throw new ConfigurationError(faultText(source.file, faults[0]));
    const listing = listingOf(configuration, keys, source.file);
    return outputOf(listing, given.json, () => yamlOf(configuration, keys, source.file).trimEnd());
  },
  schema: async () => JSON.stringify(schemaOf(keys), null, 2),
} as const;
type Action = keyof typeof actions;

/** The flags of `serve`, which go before the file. The help of `serve` has them. */
const hidden = Object.fromEntries(
  Object.entries(options)
    .filter(([name]) => name !== 'config' && name !== 'vm')
    .map(([name, option]) => [name, { ...option, hidden: true }]),
);

export const config: CommandModule<object, Arguments> = {
  command: 'config <action> [file]',
  describe: 'check or show a configuration of serve, or print its JSON Schema',
  builder: (parser: Argv) =>
    parser
      .positional('action', {
        type: 'string',
        demandOption: true,
        choices: Object.keys(actions) as Action[],
        describe:
          'check: every fault with its line and column; show: the values that hold, and where each is from',
      })
      .positional('file', { type: 'string', default: DEFAULT_FILE, describe: 'the file' })
      .options({
        json: { type: 'boolean', describe: 'print JSON: check an array of faults, show an object' },
        vm: { ...options.vm!, describe: 'only this VM of the file; repeat it for more' },
        ...hidden,
      })
      .example('$0 config check', `what is wrong with ${DEFAULT_FILE}`)
      .example('$0 config show cameras.yaml --vm desk --log-level debug', 'flags of serve go before the file')
      .epilogue('Exit status: 0, or 78 if the configuration is wrong.') as unknown as Argv<Arguments>,
  handler: async (given) => console.log(await actions[given.action](given)),
};

/** What holds for several nodes is wrong once. */
const distinct = (faults: readonly Fault[]): Fault[] => [
  ...new Map(faults.map((fault) => [JSON.stringify(fault), fault])).values(),
];

function summary({ file }: Source, { vms }: Configuration): string {
  const nodes = vms.reduce((sum, vm) => sum + vm.nodes.length, 0);
  const counted = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`;
  return `${file}: ${counted(vms.length, 'VM')}, ${counted(nodes, 'node')}: nothing is wrong`;
}

/** Users and groups that this host does not have. None if there is no addon to ask with. */
async function accountFaults(configuration: Configuration): Promise<Fault[]> {
  const { accounts } = await import('../privileges.js').catch(() => ({ accounts: undefined }));
  if (!accounts) return [];
  return servedOf(configuration).flatMap((served) => {
    const { node } = served;
    const socket = node.settings.has('socket-path') ? { path: '/run/socket' } : { listeningFd: 0 };
    try {
      const flags = privilegesIn(configuration.settings, served);
      privilegesOf(flags, [{ device: '/dev/null', socket }], process.geteuid!(), accounts);
      return [];
    } catch (error) {
      return [faultOf(error, configuration) ?? { ...node.place, sentence: (error as Error).message }];
    }
  });
}
