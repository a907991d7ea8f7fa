/** The values of flags: options that are true or false. */
import { Parser } from 'yargs/helpers';
import { OperatorError } from './exit.js';
import type { KnownOptions } from './known-options.js';

const option = /^--?([^-=][^=]*)=(.*)$/s;

/**
 * Throws ERR_USAGE if a flag has a value other than `true` and `false`. yargs takes any other value for false, and
 * `--no-shm=1` would turn off what it asks for. `words`: the command line.
 */
export function checkFlagValues(words: readonly string[], { boolean, alias }: KnownOptions): void {
  const flags = boolean.flatMap((name) => [name, ...(alias[name] ?? [])]);
  const end = words.indexOf('--');
  for (const word of end < 0 ? words : words.slice(0, end)) {
    const [, name = '', value = ''] = option.exec(word) ?? [];
    const flag = [name, Parser.decamelize(name)].find((spelling) => flags.includes(spelling));
    if (flag === undefined || value === 'true' || value === 'false') continue;
    const shown = flag.length === 1 ? `-${flag}` : `--${flag}`;
    throw new OperatorError(
      'ERR_USAGE',
      `${shown} is true or false, not ${value || 'empty'}: ${shown} alone turns it on`,
    );
  }
}
