/** What somebody may have meant by a word that is none of those which are possible. */
import { closestMatch } from 'leven';

/** Mistakes in a word of up to so many letters. Two letters that changed places are two mistakes. */
const SHORT = { letters: 3, mistakes: 1 };
const LETTERS_A_MISTAKE = 3;

/** `: did you mean WORD?`, or nothing. */
export function meant(typed: string, possible: readonly string[]): string {
  const plain = spelled(typed);
  const most =
    plain.length <= SHORT.letters
      ? SHORT.mistakes
      : Math.max(SHORT.mistakes + 1, Math.floor(plain.length / LETTERS_A_MISTAKE));
  const found = possible.includes(plain) ? plain : closestMatch(plain, possible, { maxDistance: most });
  return found === undefined ? '' : `: did you mean ${found}?`;
}

/** `--shmSize` and `shm_size` are `shm-size`. */
const spelled = (typed: string): string =>
  typed
    .replace(/^-+/, '')
    .replaceAll(/([a-z])([A-Z])/g, '$1-$2')
    .replaceAll(/[_\s]+/g, '-')
    .toLowerCase();
