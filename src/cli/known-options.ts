/** The options that a parser of yargs knows. */
import type { Argv } from 'yargs';

/** Part of yargs' own record. */
export interface KnownOptions {
  /** Names and aliases of all options. */
  readonly key: Readonly<Record<string, unknown>>;
  /** Names of the options that are true or false. */
  readonly boolean: readonly string[];
  readonly alias: Readonly<Record<string, readonly string[]>>;
  readonly choices: Readonly<Record<string, readonly string[]>>;
}

/** The options of the command that the parser has found, and the global ones. yargs has the method, its types lack it. */
export function knownOptions(parser: Argv): KnownOptions {
  return (parser as unknown as { getOptions(): KnownOptions }).getOptions();
}
