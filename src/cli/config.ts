/** The command `config`: what is wrong with a configuration, which values hold, and its JSON Schema. */
import type { Argv, CommandModule } from 'yargs';
import { type Configuration, faultText } from '../config/configuration.js';
import { ConfigurationError, DEFAULT_FILE } from '../config/file.js';
import { listingOf, yamlOf } from '../config/listing.js';
import { schemaOf } from '../config/schema.js';
import { readWithAccounts } from './config-faults.js';
import { keys } from './config-keys.js';
import { readSource, type Source, sourceOf } from './config-source.js';
import { ExitCode } from './exit.js';
import { outputOf } from './output.js';
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
    const { configuration, faults: all } = await readWithAccounts(source);
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

/** How much there is in it. */
export function summary({ file }: Pick<Source, 'file'>, { vms }: Configuration): string {
  const nodes = vms.reduce((sum, vm) => sum + vm.nodes.length, 0);
  const counted = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`;
  return `${file}: ${counted(vms.length, 'VM')}, ${counted(nodes, 'node')}: nothing is wrong`;
}
