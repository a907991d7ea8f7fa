/** The command `completion`: scripts with which bash, zsh and fish complete the command line. */
import type { CommandModule } from 'yargs';
import { commands, NAME } from './commands.js';
import { COMPLETION_REQUEST } from './completion.js';
import { type Definition, definitionsOf, type OptionDefinition, withOwn } from './definition.js';

const shells = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof shells)[number];

const scripts: Readonly<Record<Shell, (definitions: readonly Definition[]) => string>> = {
  bash: () => bashScript,
  zsh: zshScript,
  fish: fishScript,
};

export const completion: CommandModule<object, { shell: Shell }> = {
  command: 'completion [shell]',
  describe: false,
  builder: (parser) =>
    parser.positional('shell', {
      choices: shells,
      default: 'bash' as const,
      describe: 'the shell that reads it',
    }),
  handler: async ({ shell }) => console.log(scripts[shell](await definitionsOf(commands))),
};

/** Asks the program. yargs' own script compares the answers with the word `=`, and completes `--option=` with files. */
const bashScript = `_virtio_media_bridge() {
  local word=\${COMP_WORDS[COMP_CWORD]} found
  mapfile -t found < <(SHELL=bash ZSH_NAME= "$1" ${COMPLETION_REQUEST} "\${COMP_WORDS[@]:0:COMP_CWORD+1}" 2> /dev/null)
  [[ $word == '=' ]] && word=
  mapfile -t COMPREPLY < <(compgen -W "\${found[*]}" -- "$word")
}
complete -o bashdefault -o default -F _virtio_media_bridge ${NAME}`;

/** One line for each command and option. An option with any value is completed with files, as in bash. */
export function fishScript(definitions: readonly Definition[]): string {
  const all = definitions.flatMap(withOwn);
  const lines = [
    `complete -c ${NAME} -s h -l help -d 'print this help'`,
    `complete -c ${NAME} -n __fish_use_subcommand -l version -d 'print the version'`,
    ...all.map((each) => `complete -c ${NAME} ${fishCommand(each)} -d ${quoted(each.describe)}`),
    ...all.flatMap((each) => each.options.map((option) => fishOption(each, option))),
  ];
  return lines.join('\n');
}

function fishCommand({ words }: Definition): string {
  const parents = words.slice(0, -1);
  return `-n ${quoted(parents.length === 0 ? '__fish_use_subcommand' : fishSeen(parents))} -f -a ${words.at(-1)}`;
}

const fishSeen = (words: readonly string[]): string =>
  words.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ');

function fishOption({ words }: Definition, { name, describe, isFlag, choices }: OptionDefinition): string {
  const value = choices.length > 0 ? ` -x -a ${quoted(choices.join(' '))}` : ' -r -F';
  return `complete -c ${NAME} -n ${quoted(fishSeen(words))} -l ${name}${isFlag ? '' : value} -d ${quoted(describe)}`;
}

/** A function for each command, and one that chooses among them. */
export function zshScript(definitions: readonly Definition[]): string {
  return [
    `#compdef ${NAME}`,
    ...definitions.flatMap(withOwn).map(zshFunction),
    zshChoice([], definitions, ["'--version[print the version]'"]),
    `_${NAME} "$@"`,
  ].join('\n\n');
}

const zshName = (words: readonly string[]): string => `_${[NAME, ...words].join('-')}`;
const HELP = "'(- *)'{-h,--help}'[print this help]'";

function zshFunction(definition: Definition): string {
  const { words, options, commands: own } = definition;
  if (own.length > 0) return zshChoice(words, own, options.map(zshOption));
  const given = definition.arguments.map(
    ({ name, describe, isOptional }) => `'${isOptional ? '::' : ':'}${zshText(describe || name)}:_files'`,
  );
  const lines = [HELP, ...options.map(zshOption), ...given].map((line) => `    ${line}`);
  return `${zshName(words)}() {\n  _arguments -s -S \\\n${lines.join(' \\\n')}\n}`;
}

function zshChoice(words: readonly string[], own: readonly Definition[], options: readonly string[]): string {
  const rows = own.map(({ words: all, describe }) => `    ${quoted(`${all.at(-1)}:${describe}`)}`);
  const cases = own.map(({ words: all }) => `      ${all.at(-1)}) ${zshName(all)} ;;`);
  return `${zshName(words)}() {
  local curcontext=$curcontext state line
  local -a commands=(
${rows.join('\n')}
  )
  _arguments -C ${[HELP, ...options].join(' ')} '1: :->command' '*:: :->rest'
  case $state in
    command) _describe -t commands command commands ;;
    rest) case $line[1] in
${cases.join('\n')}
    esac ;;
  esac
}`;
}

function zshOption({ name, describe, isFlag, isList, choices }: OptionDefinition): string {
  const value = choices.length > 0 ? `:${name}:(${choices.join(' ')})` : `:${name}:_files`;
  return `'${isList ? '*' : ''}--${name}${isFlag ? '' : '='}[${zshText(describe)}]${isFlag ? '' : value}'`;
}

/** Text of a specification of _arguments, in single quotes. */
const zshText = (text: string): string =>
  text.replaceAll(/[\\[\]:]/g, (sign) => `\\${sign}`).replaceAll("'", "'\\''");

/** For zsh and fish alike: neither a backslash before another character nor a dollar is special. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
