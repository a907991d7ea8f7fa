/** A configuration: the values of a file, or those that hold, each with its origin. */

/** A place in a file. Both numbers count from 1; columns are UTF-16 units. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** What is wrong at a place, and what was meant: a sentence without a full stop. */
export interface Fault extends Place {
  readonly sentence: string;
}

/** `FILE:LINE:COLUMN: SENTENCE`. */
export const faultText = (file: string, { line, column, sentence }: Fault): string =>
  `${file}:${line}:${column}: ${sentence}`;

/** A value as a flag would give it. */
export type Value = string | boolean | readonly string[];

/** Where a value comes from. */
export type Origin = 'default' | 'flag' | Place;

export interface Setting {
  readonly value: Value;
  readonly origin: Origin;
}

/** By the name of the key. */
export type Settings = ReadonlyMap<string, Setting>;

export interface NodeConfiguration {
  readonly place: Place;
  readonly settings: Settings;
}

export interface VmConfiguration {
  readonly name: string;
  readonly place: Place;
  readonly settings: Settings;
  readonly nodes: readonly NodeConfiguration[];
}

export interface Configuration {
  readonly settings: Settings;
  readonly vms: readonly VmConfiguration[];
}

/** The settings as the flags of a command line. */
export const valuesOf = (settings: Settings): Record<string, Value> =>
  Object.fromEntries([...settings].map(([name, { value }]) => [name, value]));

/** The text of a setting. Undefined: there is none. */
export function textOf(settings: Settings, name: string): string | undefined {
  const value = settings.get(name)?.value;
  return typeof value === 'string' ? value : undefined;
}
