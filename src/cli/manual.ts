/** The command `manual`: manual pages in mdoc(7), made of the definitions of the commands. */
import type { CommandModule } from 'yargs';
import { commands, NAME, SUMMARY } from './commands.js';
import {
  type ArgumentDefinition,
  type Definition,
  definitionsOf,
  type OptionDefinition,
  withOwn,
} from './definition.js';
import { ExitCode, exits, OperatorError } from './exit.js';
import { commandLine, macroText, paragraph, tagList } from './mdoc.js';

const files: readonly (readonly [path: string, what: string])[] = [
  ['/etc/virtio-media-bridge/', 'configuration of the host'],
  ['/run/virtio-media-bridge/NAME.sock', 'socket of the instance NAME of the systemd units'],
  [
    '/usr/lib/systemd/system/virtio-media-bridge@.service',
    'unit that serves /dev/NAME; virtio-media-bridge@.socket starts it when a VMM connects',
  ],
  [
    '/usr/lib/udev/rules.d/70-virtio-media-bridge.rules',
    'makes V4L2 nodes known to systemd; the command rules prints rules that name and serve them',
  ],
  ['/usr/share/doc/virtio-media-bridge/', 'the pages that are called docs/PAGE.md here'],
];

const globalOptions: readonly OptionDefinition[] = [
  {
    name: 'help',
    describe: 'print the help of a command',
    isFlag: true,
    isList: false,
    choices: [],
    default: undefined,
  },
  {
    name: 'version',
    describe: 'print the version',
    isFlag: true,
    isList: false,
    choices: [],
    default: undefined,
  },
];

export const manual: CommandModule<object, { page: string | undefined }> = {
  command: 'manual [page]',
  describe: false,
  builder: (parser) =>
    parser.positional('page', { type: 'string', describe: 'name of the page; none: list them' }),
  handler: async ({ page }) => {
    const pages = manualPages(await definitionsOf(commands), pageDate(process.env.SOURCE_DATE_EPOCH));
    if (page === undefined) console.log([...pages.keys()].join('\n'));
    else if (pages.has(page)) console.log(pages.get(page));
    else
      throw new OperatorError(
        'ERR_USAGE',
        `there is no page ${page}: the pages are ${[...pages.keys()].join(', ')}`,
      );
  },
};

/** `epoch`: seconds since 1970 (reproducible-builds.org); absent: today. */
const pageDate = (epoch: string | undefined): string =>
  new Intl.DateTimeFormat('en-US', { dateStyle: 'long', timeZone: 'UTC' }).format(
    epoch === undefined ? new Date() : new Date(Number(epoch) * 1000),
  );

/** The text of each page of section 1, by its name. `date`: such as November 30, 2026. */
export function manualPages(definitions: readonly Definition[], date: string): Map<string, string> {
  const all = definitions.flatMap(withOwn);
  const names = [NAME, ...all.map(pageName)];
  return new Map([
    [NAME, text(NAME, firstSmall(SUMMARY.replace(/\.$/, '')), date, mainSections(definitions), names)],
    ...all.map(
      (each) => [pageName(each), text(pageName(each), each.describe, date, sections(each), names)] as const,
    ),
  ]);
}

const firstSmall = (sentence: string): string => sentence.charAt(0).toLowerCase() + sentence.slice(1);

const pageName = ({ words }: Definition): string => [NAME, ...words].join('-');

type Section = readonly [title: string, lines: readonly string[]];

function text(
  name: string,
  summary: string,
  date: string,
  body: readonly Section[],
  names: readonly string[],
): string {
  const others = names.filter((each) => each !== name).sort();
  const also = others.map((each, index) => `.Xr ${each} 1${index < others.length - 1 ? ' ,' : ''}`);
  const all: readonly Section[] = [
    ['NAME', [`.Nm ${name}`, `.Nd ${macroText(summary)}`]],
    ...body,
    ['SEE ALSO', also],
  ];
  return [
    `.Dd ${date}`,
    `.Dt ${name.toUpperCase()} 1`,
    '.Os',
    ...all.flatMap(([title, lines]) => (lines.length === 0 ? [] : [`.Sh ${title}`, ...lines])),
  ].join('\n');
}

function mainSections(definitions: readonly Definition[]): Section[] {
  const all = definitions.flatMap(withOwn);
  const examples = definitions.flatMap((each) => each.examples.slice(0, 1));
  return [
    ['SYNOPSIS', [`.Nm ${NAME}`, '.Ar command', '.Op Ar option ...']],
    [
      'DESCRIPTION',
      [
        ...paragraph(
          `${SUMMARY} It is a vhost-user back-end: a VMM (QEMU, crosvm, libkrun, cloud-hypervisor) connects to its socket, and programs of the guest use the device as if it were plugged into the virtual machine. A command line that begins with an option means the command serve.`,
        ),
        '.Pp',
        'The commands are:',
        ...tagList(
          all.map(({ words, describe, arguments: given }) => ({
            tag: [`Cm ${words.join(' ')}`, ...given.map(argumentText)].join(' '),
            text: describe,
          })),
        ),
        '.Pp',
        'These options are for every command:',
        ...optionList(globalOptions),
      ],
    ],
    ['FILES', tagList(files.map(([path, what]) => ({ tag: `Pa ${path}`, text: what })))],
    ['EXIT STATUS', tagList(exits.map(([code, sentence]) => ({ tag: `${ExitCode[code]}`, text: sentence })))],
    ['EXAMPLES', examples.flatMap(exampleText)],
  ];
}

function sections(each: Definition): Section[] {
  return [
    ['SYNOPSIS', [`.Nm ${NAME}`, `.Cm ${each.words.join(' ')}`, ...synopsis(each)]],
    [
      'DESCRIPTION',
      [
        ...paragraph(each.describe),
        ...each.epilogues.flatMap((line) => ['.Pp', ...paragraph(line)]),
        ...part('The arguments are:', argumentList(each.arguments)),
        ...part('The options are:', optionList(each.options)),
        ...part(
          'Its commands are:',
          list(
            each.commands.map(({ words, describe }) => ({ tag: `Cm ${words.join(' ')}`, text: describe })),
          ),
        ),
      ],
    ],
    ['EXIT STATUS', ['The exit statuses are in', `.Xr ${NAME} 1 .`]],
    ['EXAMPLES', each.examples.flatMap(exampleText)],
  ];
}

const synopsis = ({ options, arguments: given, commands: own }: Definition): string[] => [
  ...(options.length > 0 ? ['.Op Ar option ...'] : []),
  ...given.map((argument) => `.${argumentText(argument)}`),
  ...(own.length > 0 ? ['.Ar command'] : []),
];

const argumentText = ({ name, isOptional }: ArgumentDefinition): string =>
  isOptional ? `Op Ar ${name}` : `Ar ${name}`;

const part = (heading: string, lines: readonly string[]): string[] =>
  lines.length === 0 ? [] : ['.Pp', heading, ...lines];

const list = (items: Parameters<typeof tagList>[0]): string[] => (items.length === 0 ? [] : tagList(items));

const argumentList = (given: readonly ArgumentDefinition[]): string[] =>
  list(given.map(({ name, describe }) => ({ tag: `Ar ${name}`, text: describe || name })));

function optionList(options: readonly OptionDefinition[]): string[] {
  return list(
    options.map(({ name, describe, isFlag, isList, choices, default: given }) => ({
      tag: `Fl -${name}${isFlag ? '' : ` ${choices.length > 0 ? choices.map((word) => `Cm ${word}`).join(' | ') : 'Ar value'}`}`,
      text: [
        describe,
        isList ? 'The option may be repeated' : '',
        given === undefined ? '' : `The default is ${given}`,
      ]
        .filter(Boolean)
        .join('. '),
    })),
  );
}

const exampleText = ([line, what]: readonly [string, string]): string[] => [
  ...paragraph(`${what}:`).map((each) => each.replace(/:\.$/, ':')),
  ...commandLine(line.replace('$0', NAME)),
];
