/** Keys for tests. */
import type { Key, Kind } from '../../../../src/config/key.js';

const key =
  (kind: Kind) =>
  (name: string, more: Partial<Key> = {}): Key => ({
    name,
    level: 'node',
    isOwn: false,
    kind,
    effect: 'restart',
    describe: name,
    choices: [],
    ...more,
  });

export const text = key('text');
export const path = key('path');
export const switchKey = key('switch');
export const list = key('list');
export const words = key('words');
export const choice = (name: string, choices: readonly string[], more: Partial<Key> = {}): Key =>
  key('choice')(name, { choices, ...more });
