/** Manual pages and completions: both are made of the definitions of the commands. */
import assert from 'node:assert/strict';
import yargs, { type Argv, type CommandModule } from 'yargs';
import { commands } from '../../../src/cli/commands.js';
import { fishScript, zshScript } from '../../../src/cli/completion-scripts.js';
import { type Definition, definitionsOf } from '../../../src/cli/definition.js';
import { ExitCode } from '../../../src/cli/exit.js';
import { knownOptions } from '../../../src/cli/known-options.js';
import { manualPages } from '../../../src/cli/manual.js';
import { run } from './support/run.js';

const DATE = 'November 30, 2026';

const nothing: Definition = {
  words: ['odd'],
  describe: 'an odd command',
  arguments: [],
  options: [],
  examples: [],
  epilogues: [],
  commands: [],
};
const pageOf = (definition: Partial<Definition>): string[] =>
  manualPages([{ ...nothing, ...definition }], DATE)
    .get('virtio-media-bridge-odd')!
    .split('\n');
const option = (describe: string) => ({
  name: 'odd',
  describe,
  isFlag: false,
  isList: false,
  choices: [],
  default: undefined,
});

/** Names of the options that yargs itself knows of a command, hidden and global ones apart. */
function yargsOptions(builder: unknown): string[] {
  const parser = yargs();
  if (typeof builder === 'function') builder(parser);
  else parser.options((builder ?? {}) as Parameters<Argv['options']>[0]);
  const { key, hiddenOptions } = knownOptions(parser) as ReturnType<typeof knownOptions> & {
    hiddenOptions: readonly string[];
  };
  return Object.keys(key).filter(
    (name) => !hiddenOptions.includes(name) && name !== 'help' && name !== 'version',
  );
}

describe('cli/manual', function () {
  this.timeout(60_000);
  let definitions: Definition[];
  before(async () => {
    definitions = await definitionsOf(commands);
  });

  it('has a page for the program and for each command of the help', () => {
    const names = commands.map(({ usage }) => `virtio-media-bridge-${usage.split(' ')[0]}`);
    assert.deepEqual([...manualPages(definitions, DATE).keys()], ['virtio-media-bridge', ...names]);
  });

  for (const { usage, load } of commands)
    it(`${usage}: has every option that yargs knows, and every argument`, async () => {
      const [name, ...given] = usage.split(' ');
      const { builder } = (await load()) as CommandModule;
      const text = manualPages(definitions, DATE).get(`virtio-media-bridge-${name}`)!;
      const shown = [...text.matchAll(/^\.It Fl -(\S+)/gm)].map(([, found]) => found);
      const own = definitions.find(({ words }) => words[0] === name)!;
      assert.deepEqual(
        own.arguments.map((each) => each.name),
        given.map((each) => each.replaceAll(/[<>[\]]/g, '')),
      );
      const known = yargsOptions(builder).filter((each) => !own.arguments.some((one) => one.name === each));
      assert.deepEqual(shown.sort(), known.sort());
    });

  it('has every exit status, the files and an example', () => {
    const text = manualPages(definitions, DATE).get('virtio-media-bridge')!;
    for (const code of Object.values(ExitCode)) assert.match(text, new RegExp(`^\\.It ${code}$`, 'm'));
    for (const title of ['NAME', 'SYNOPSIS', 'DESCRIPTION', 'FILES', 'EXIT STATUS', 'EXAMPLES', 'SEE ALSO'])
      assert.match(text, new RegExp(`^\\.Sh ${title}$`, 'm'));
  });

  it('has commands of a command, each with a page of its own', async () => {
    const builder = (parser: Argv) =>
      parser.command({
        command: 'check <file>',
        describe: 'look for faults',
        builder: {},
        handler: () => {},
      });
    const found = await definitionsOf([
      { usage: 'config', describe: 'the file', load: async () => ({ builder, handler: () => {} }) },
    ]);
    const pages = manualPages(found, DATE);
    assert.deepEqual([...pages.keys()].slice(1), [
      'virtio-media-bridge-config',
      'virtio-media-bridge-config-check',
    ]);
    assert.match(pages.get('virtio-media-bridge-config-check')!, /^\.Cm config check\n\.Ar file$/m);
    assert.match(fishScript(found), /-n '__fish_seen_subcommand_from config' -f -a check /);
    assert.match(zshScript(found), /check\) _virtio-media-bridge-config-check ;;/);
  });

  it('takes text for text, whatever it begins with', () => {
    const lines = pageOf({
      options: [option('.so of a library'), option("'quoted' by a \\backslash"), option('3 × 4')],
    });
    assert.ok(lines.includes('\\&.so of a library.'));
    assert.ok(lines.includes("\\&'quoted' by a \\ebackslash."));
    assert.ok(lines.includes('3 \\[u00D7] 4.'));
    assert.ok(pageOf({ describe: 'is No macro' }).includes('.Nd is \\&No macro'));
  });

  it('begins a line at each sentence, and has no line that is too long', () => {
    const sentence = `${'word '.repeat(40)}. Another one, as in e.g. this`;
    const lines = pageOf({
      options: [option(sentence)],
      examples: [[`$0 odd ${'--odd value '.repeat(12)}`, 'long']],
    });
    assert.ok(lines.includes('Another one, as in e.g. this.'));
    assert.deepEqual(
      lines.filter((line) => line.length > 80),
      [],
    );
  });

  it('has the date of the environment, for builds that are the same each time', () => {
    const { stdout } = run(['manual', 'virtio-media-bridge'], { SOURCE_DATE_EPOCH: '86400' });
    assert.match(stdout, /^\.Dd January 2, 1970$/m);
  });

  it('refuses a page that is not there', () => {
    const { status, stderr } = run(['manual', 'virtio-media-bridge-bogus']);
    assert.equal(status, ExitCode.USAGE);
    assert.match(stderr, /there is no page virtio-media-bridge-bogus: the pages are virtio-media-bridge,/);
  });
});

describe('cli/completion-scripts', function () {
  this.timeout(60_000);

  it('refuses a shell that it has no script for', () => {
    const { status, stderr } = run(['completion', 'tcsh']);
    assert.equal(status, ExitCode.USAGE);
    assert.match(stderr, /must be one of "bash", "zsh", "fish", not "tcsh"/);
  });

  it('quotes what the shells would read as something else', () => {
    const odd = [{ ...nothing, options: [option("it's [odd]: $HOME")] }];
    assert.match(zshScript(odd), /'--odd=\[it'\\''s \\\[odd\\\]\\: \$HOME\]:odd:_files'/);
    assert.match(fishScript(odd), /-d 'it'\\''s \[odd\]: \$HOME'/);
  });
});
