/** The keys of a configuration: what each holds, and where it may be. The command line makes them from its flags. */

/**
 * The places of a configuration, from the outermost. A key of an inner place may also be in an outer one, and then holds
 * for everything inside.
 */
export const levels = ['process', 'vm', 'node'] as const;
export type Level = (typeof levels)[number];

/** What a change of a key takes while guests run. */
export type Effect = 'now' | 'new connections' | 'new sessions' | 'the next VM' | 'restart';

export type Kind =
  | 'switch'
  | 'choice'
  | 'text'
  | 'path'
  | 'size'
  | 'count'
  | 'mode'
  | 'descriptor'
  /** Texts. */
  | 'list'
  /** Texts that become one, with commas. */
  | 'words';

export interface Key {
  /** The name of the flag, without dashes. */
  readonly name: string;
  /** The innermost place. */
  readonly level: Level;
  /** It is in no outer place. */
  readonly isOwn: boolean;
  readonly kind: Kind;
  readonly effect: Effect;
  readonly describe: string;
  /** Not empty if `kind` is `choice`. */
  readonly choices: readonly string[];
  /** Absent: it has no value. */
  readonly default?: string | boolean;
  /** What holds if there is no value, in words. */
  readonly unset?: string;
  /** A key that an inner value of this one makes void. */
  readonly rival?: string;
}

/** Whether a key may be at a place. */
export function mayBeAt({ level, isOwn }: Key, place: Level): boolean {
  return isOwn ? level === place : levels.indexOf(level) >= levels.indexOf(place);
}

interface KindRow {
  /** JSON Schema of one value. */
  readonly schema: Readonly<Record<string, unknown>>;
  /** What one value must be, if `fits` is false. */
  readonly must?: string;
  fits?(text: string): boolean;
}

const scalar = { type: ['string', 'number'] };
const FIRST_INHERITED = 3;

/** One row for each kind. Flags have the rules for the rest of what a value must be. */
export const kinds: Readonly<Record<Kind, KindRow>> = {
  switch: { schema: { type: 'boolean' }, must: 'true or false', fits: (text) => /^(true|false)$/.test(text) },
  choice: { schema: {} },
  text: { schema: scalar },
  path: {
    schema: { type: 'string', pattern: '^/' },
    must: 'a path that begins with /',
    fits: (text) => text.startsWith('/'),
  },
  size: { schema: { type: ['string', 'integer'], pattern: '^[0-9]+[KkMmGg]?([Ii]?[Bb])?$' } },
  count: { schema: { type: ['integer', 'string'], pattern: '^[0-9]+$', minimum: 1 } },
  mode: {
    schema: { type: ['string', 'integer'], pattern: '^0?[0-7]{3}$' },
    must: 'three octal digits, for example 0660',
    fits: (text) => /^0?[0-7]{3}$/.test(text),
  },
  descriptor: {
    schema: { type: 'integer', minimum: FIRST_INHERITED },
    must: 'the number of an inherited descriptor, 3 or more',
    fits: (text) => /^\d{1,9}$/.test(text) && Number(text) >= FIRST_INHERITED,
  },
  list: { schema: scalar },
  words: { schema: scalar },
};

/** Whether a key may have several values. */
export const isList = ({ kind }: Key): boolean => kind === 'list' || kind === 'words';
