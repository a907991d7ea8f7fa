/**
 * Holds docs/guides/ to the program: each fenced block is run or parsed here, or says why it is not. Commands of
 * virtio-media-bridge go through its own parser, configurations through its reader, options of VMMs are those that it
 * prints, units through systemd-analyze, and quoted log lines are in the source.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { split } from 'shlex';
import yargs from 'yargs';
import { commands, whenAsked } from '../../src/cli/commands.js';
import { readSource, sourceOf } from '../../src/cli/config-source.js';
import { ruleText } from '../../src/cli/rules.js';
import { serveOptions } from '../../src/cli/serve.js';
import { servedOf } from '../../src/config/change.js';
import { textOf } from '../../src/config/configuration.js';
import { read, root } from './support/document.js';
import { type Block, blocksOf, commandsOf } from './support/guide.js';
import { assertCrosvm, assertMemory, assertQemu } from './support/vmm-words.js';

const FOLDER = 'docs/guides';
const OWN = 'virtio-media-bridge';
const pages = readdirSync(`${root}${FOLDER}`).sort();

type Arguments = Record<string, unknown>;

/** The arguments of one of our commands, by its own parser. Throws as the program would. */
async function parsed(words: readonly string[]): Promise<Arguments> {
  let given: Arguments | undefined;
  const parser = yargs()
    .parserConfiguration({
      'boolean-negation': false,
      'dot-notation': false,
      'greedy-arrays': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
    })
    .strict()
    .demandCommand(1)
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new Error(message);
    });
  for (const command of commands)
    parser.command({
      ...whenAsked(command),
      handler: (found) => {
        given = found;
      },
    });
  await parser.parseAsync(words);
  assert.ok(given, words.join(' '));
  return given;
}

/** One row for each VMM: checks its command line, returns the sockets that it connects to. */
const vmms: Readonly<Record<string, (words: readonly string[]) => string[]>> = {
  'qemu-system-x86_64': (words) => {
    assertMemory(words);
    return assertQemu(words);
  },
  crosvm: assertCrosvm,
};

/** The files of the source, with `…` for what their literals put in. */
const sources = readdirSync(`${root}src`, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => read(`src/${path}`).replaceAll(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, '…'));

/** Whether a whole literal of the source is this line. The full stop of an error is not printed. */
const isSaid = (line: string): boolean =>
  sources.some((source) =>
    ['`', "'", '"'].some((quote) => [line, `${line}.`].some((text) => source.includes(quote + text + quote))),
  );

/** Languages whose blocks are checked here, apart from commands. */
const checked = ['yaml', 'ini', 'xml', 'log'];

describe('docs/guides', function () {
  this.timeout(120_000);
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-guides-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  /** The page's configuration in a file. */
  const configurationFile = (blocks: readonly Block[]): string => {
    const found = blocks.filter(({ language }) => language === 'yaml');
    assert.equal(found.length, 1, 'the page needs one configuration');
    const file = join(folder, 'config.yaml');
    writeFileSync(file, found[0]!.text, { mode: 0o600 });
    return file;
  };

  /** One row for each of our commands of which more than the words can be checked. Returns the sockets that it serves. */
  const own: Readonly<Record<string, (given: Arguments, blocks: readonly Block[]) => string[]>> = {
    serve: (given, blocks) => {
      if (given.config !== undefined || given.vm !== undefined) return own.config!(given, blocks);
      const { pairs } = serveOptions(given, []);
      return pairs.map(({ socket }) => ('path' in socket ? socket.path : ''));
    },
    config: (given, blocks) => {
      const file = configurationFile(blocks);
      const { faults } = readSource(sourceOf(given, [], file));
      assert.deepEqual(faults, []);
      return [];
    },
    rules: (given) => {
      ruleText(given as unknown as Parameters<typeof ruleText>[0]);
      return [`/run/virtio-media-bridge/${given.name}.sock`];
    },
  };

  /** Checks one of our command lines. Returns the sockets that it serves. */
  async function checkOwn(words: readonly string[], blocks: readonly Block[]): Promise<string[]> {
    const given = await parsed(words);
    return own[words[0]!]?.(given, blocks) ?? [];
  }

  for (const page of pages)
    describe(page, () => {
      const blocks = blocksOf(read(`${FOLDER}/${page}`));
      const at = ({ line }: Block) => `${FOLDER}/${page}:${line}`;
      const shell = blocks.filter(({ language }) => language === 'sh');

      it('marks every block that is not run here, and no other', () => {
        assert.ok(blocks.length > 0);
        for (const block of blocks) {
          const isRun =
            block.language === 'sh'
              ? commandsOf(block).every(([program]) => program === OWN) && !block.text.includes(' > ')
              : checked.includes(block.language);
          assert.equal(block.notRun === undefined, isRun, at(block));
        }
      });

      it('has commands that the program takes, and VMMs with the options that it prints', async () => {
        const served: string[] = [];
        const wanted: string[] = [];
        for (const block of shell)
          for (const [program, ...words] of commandsOf(block)) {
            if (program === OWN) served.push(...(await checkOwn(words, blocks)));
            wanted.push(...(vmms[program!]?.(words) ?? []));
          }
        for (const { language, text } of blocks) {
          if (language === 'yaml') served.push(...socketsOfConfiguration());
          if (language === 'ini') served.push(...socketsOfUnit(text));
          if (language === 'xml')
            wanted.push(
              ...assertQemu([...text.matchAll(/<qemu:arg value='([^']*)'/g)].map(([, word]) => word!)),
            );
        }
        assert.deepEqual(
          wanted.filter((path) => !served.includes(path)),
          [],
          `nothing on the page serves it, only ${served}`,
        );

        function socketsOfConfiguration(): string[] {
          const { configuration, faults } = readSource(sourceOf({}, [], configurationFile(blocks)));
          assert.deepEqual(faults, []);
          return servedOf(configuration).flatMap(({ node }) => textOf(node.settings, 'socket-path') ?? []);
        }
      });

      const units = blocks.filter(({ language }) => language === 'ini');
      if (units.length > 0)
        it('has units in which systemd finds no fault', function () {
          if (!existsSync('/usr/bin/systemd-analyze')) return this.skip();
          verifyUnits(
            folder,
            units.map(({ text }) => text),
          );
        });

      const documents = blocks.filter(({ language }) => language === 'xml');
      if (documents.length > 0)
        it('has well-formed XML, by the schema of libvirt if it is installed', () => {
          for (const { text } of documents) assertDomain(folder, text);
        });

      const quoted = blocks
        .filter(({ language }) => language === 'log')
        .flatMap(({ text }) => text.trim().split('\n'));
      if (quoted.length > 0)
        it('quotes log lines that the source has', () => {
          assert.deepEqual(
            quoted.filter((line) => !isSaid(line)),
            [],
          );
        });

      it('links to pages and sections that exist', () => {
        for (const [, path, section] of read(`${FOLDER}/${page}`).matchAll(
          /\]\((?!https:)([^)#]+)(?:#([^)]+))?\)/g,
        )) {
          const target = join(FOLDER, path!);
          assert.ok(existsSync(`${root}${target}`), target);
          if (section !== undefined)
            assert.ok(anchorsOf(read(target)).includes(section), `${target}#${section}`);
        }
      });
    });

  it('are all named in README.md', () => {
    for (const page of pages) assert.ok(read('README.md').includes(`(${FOLDER}/${page})`), page);
  });

  it('a command that the program does not take fails here', async () => {
    await assert.rejects(checkOwn(['serve', '--devise', '/dev/video0'], []));
    await assert.rejects(checkOwn(['serve', '--device', '/dev/video0'], []), { code: 'ERR_USAGE' });
    await assert.rejects(checkOwn(['rules', '--name', 'a b', '--driver', 'x'], []), { code: 'ERR_USAGE' });
    await assert.rejects(checkOwn(['inspect'], []));
    await assert.rejects(checkOwn(['doctor', 'a', 'b'], []));
    assert.throws(() =>
      assertMemory(
        split('-m 4G -object memory-backend-memfd,id=a,size=2G,share=on -machine q35,memory-backend=a'),
      ),
    );
    assert.throws(() =>
      assertQemu(split('-chardev socket,id=vmb0,path=/a -device vhost-user-media-pci,chardev=vmb0')),
    );
    assert.throws(() => assertCrosvm(split('--vhost-user video,socket=/a')));
    assert.ok(!isSaid('nobody says this'));
  });
});

/** Titles of a page as a link names them. */
const anchorsOf = (text: string): string[] =>
  text.match(/^#+ .*$/gm)!.map((title) =>
    title
      .toLowerCase()
      .replace(/^#+ /, '')
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );

/** `%t` is the folder of the user 1000, the instance is video0. */
const socketsOfUnit = (text: string): string[] =>
  [...text.matchAll(/^ListenStream=(.+)$/gm)].map(([, path]) =>
    path!.replace('%t', '/run/user/1000').replace('%i', 'video0'),
  );

/** A unit with a [Service] or [Socket] and a description is one of its own, any other one a drop-in of ours. */
function verifyUnits(folder: string, texts: readonly string[]): void {
  const place = mkdtempSync(join(folder, 'units-'));
  const put = (path: string, text: string) => {
    mkdirSync(dirname(join(place, path)), { recursive: true });
    writeFileSync(join(place, path), text.replaceAll(`=${OWN} `, '=/usr/bin/env '));
  };
  for (const kind of ['socket', 'service'])
    put(`${OWN}@.${kind}`, readFileSync(`${root}udev/${OWN}@.${kind}`, 'utf8'));
  const instances: string[] = [];
  for (const text of texts) {
    const kind = text.includes('[Service]') ? 'service' : 'socket';
    if (!text.includes('Description=')) put(`${OWN}@.${kind}.d/guide.conf`, text);
    else put(`guide@.${kind}`, text);
    instances.push(text.includes('Description=') ? `guide@video0.${kind}` : `${OWN}@video0.${kind}`);
  }
  const { stdout, stderr, status } = spawnSync(
    'systemd-analyze',
    ['verify', '--man=no', '--recursive-errors=no', ...instances.map((name) => join(place, name))],
    { encoding: 'utf8', env: { ...process.env, SYSTEMD_UNIT_PATH: `${place}:` } },
  );
  assert.deepEqual([status, `${stdout}${stderr}`], [0, '']);
}

const SCHEMA = '/usr/share/libvirt/schemas/domain.rng';

/** Python, which node-gyp needs too, has a parser of XML; xmllint knows the schema. */
function assertDomain(folder: string, text: string): void {
  const file = join(folder, 'domain.xml');
  writeFileSync(file, text);
  const program = 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])';
  const parsedBy = spawnSync('python3', ['-c', program, file], { encoding: 'utf8' });
  assert.deepEqual([parsedBy.status, parsedBy.stderr], [0, '']);
  if (!existsSync(SCHEMA)) return;
  const judged = spawnSync('xmllint', ['--noout', '--relaxng', SCHEMA, file], { encoding: 'utf8' });
  if (!judged.error) assert.equal(judged.status, 0, judged.stderr);
}
