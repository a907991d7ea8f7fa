/** What the yargs definition of a command says, as data: its arguments, options, examples and commands of its own. */
import type { CommandModule, Options } from 'yargs';
import type { Command } from './commands.js';

export interface OptionDefinition {
  /** Without the two hyphens. */
  readonly name: string;
  readonly describe: string;
  /** The option is true or false, so it needs no value. */
  readonly isFlag: boolean;
  /** The option may be repeated. */
  readonly isList: boolean;
  /** None: any value. */
  readonly choices: readonly string[];
  readonly default: string | undefined;
}

export interface ArgumentDefinition {
  readonly name: string;
  readonly describe: string;
  readonly isOptional: boolean;
}

export interface Definition {
  /** The words that call the command: `config check` has two. */
  readonly words: readonly string[];
  readonly describe: string;
  readonly arguments: readonly ArgumentDefinition[];
  /** Hidden options are not among them. */
  readonly options: readonly OptionDefinition[];
  /** A command line, and what it does. `$0`: the name of the program. */
  readonly examples: readonly (readonly [line: string, what: string])[];
  readonly epilogues: readonly string[];
  readonly commands: readonly Definition[];
}

/** The definitions of the commands that are in the help. Loads their files. */
export async function definitionsOf(commands: readonly Command[]): Promise<Definition[]> {
  const shown = commands.filter(({ describe }) => describe !== undefined);
  return Promise.all(
    shown.map(async ({ usage, describe, load }) =>
      new Recorder(usage, describe!, []).record((await load()).builder),
    ),
  );
}

/** The definition and those of its own commands, and of theirs. */
export const withOwn = (definition: Definition): Definition[] => [
  definition,
  ...definition.commands.flatMap(withOwn),
];

/**
 * Stands in for the parser that a builder is given, and keeps what it is told. It has the methods that builders use: a
 * builder that uses another one fails here, and so in the tests.
 */
class Recorder {
  readonly #words: readonly string[];
  readonly #arguments: Map<string, ArgumentDefinition>;
  readonly #options: OptionDefinition[] = [];
  readonly #examples: (readonly [string, string])[] = [];
  readonly #epilogues: string[] = [];
  readonly #commands: Definition[] = [];

  constructor(
    usage: string,
    private readonly summary: string,
    parents: readonly string[],
  ) {
    const [name = '', ...given] = usage.split(' ');
    this.#words = [...parents, name];
    this.#arguments = new Map(given.map((text) => [nameOf(text), argumentOf(text)]));
  }

  record(builder: unknown): Definition {
    if (typeof builder === 'function') builder(this);
    else this.options((builder ?? {}) as Record<string, Options>);
    return {
      words: this.#words,
      describe: this.summary,
      arguments: [...this.#arguments.values()],
      options: this.#options,
      examples: this.#examples,
      epilogues: this.#epilogues,
      commands: this.#commands,
    };
  }

  options(rows: Readonly<Record<string, Options>>): this {
    for (const [name, row] of Object.entries(rows)) this.option(name, row);
    return this;
  }

  option(name: string, row: Options): this {
    if (row.hidden !== true) this.#options.push(optionOf(name, row));
    return this;
  }

  positional(name: string, { describe = '' }: { describe?: string }): this {
    const argument = this.#arguments.get(name);
    if (argument === undefined) throw new Error(`${this.#words.join(' ')} has no argument ${name}`);
    this.#arguments.set(name, { ...argument, describe });
    return this;
  }

  example(line: string, what: string): this {
    this.#examples.push([line, what]);
    return this;
  }

  epilogue(text: string): this {
    this.#epilogues.push(text);
    return this;
  }

  command({ command, describe, builder }: CommandModule): this {
    if (typeof describe === 'string')
      this.#commands.push(new Recorder(String(command), describe, this.#words).record(builder));
    return this;
  }

  demandCommand(): this {
    return this;
  }
}

/** `<device>`, `[device]`, `[device..]`. */
const nameOf = (text: string): string => text.replaceAll(/[<>[\]]|\.\./g, '');

const argumentOf = (text: string): ArgumentDefinition => ({
  name: nameOf(text),
  describe: '',
  isOptional: text.startsWith('['),
});

function optionOf(name: string, row: Options): OptionDefinition {
  return {
    name,
    describe: row.describe ?? row.description ?? '',
    isFlag: row.type === 'boolean' || row.boolean === true,
    isList: row.array === true,
    choices: (row.choices ?? []).map(String),
    default: row.default === undefined || row.default === false ? undefined : String(row.default),
  };
}
