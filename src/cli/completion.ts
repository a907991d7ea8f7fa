/** The command `completion`, and what a shell asks to complete a word: yargs answers, but not for `--option=`. */
import type { CommandModule } from 'yargs';
import type { KnownOptions } from './known-options.js';

/** The option with which yargs is asked. The name of the program and the words up to the cursor follow. */
export const COMPLETION_REQUEST = '--get-yargs-completions';

export const completion: CommandModule<object, object> = {
  command: 'completion',
  describe: false,
  handler: () => console.log(bashScript),
};

/** The value of `--option=` that the last word is a part of. */
export interface PartialValue {
  readonly option: string;
  readonly typed: string;
  /** What the shell expects in front of each answer. */
  readonly prefix: string;
}

/** bash splits `--mmap=ar` into `--mmap`, `=` and `ar`; other shells do not. undefined: the word is something else. */
export function partialValue(words: readonly string[]): PartialValue | undefined {
  const last = words.at(-1) ?? '';
  const [, whole, value] = /^--([^=]+)=(.*)$/s.exec(last) ?? [];
  if (whole !== undefined) return { option: whole, typed: value!, prefix: `--${whole}=` };
  const sign = last === '=' ? -1 : -2;
  const [, option] = /^--(.+)$/s.exec(words.at(sign - 1) ?? '') ?? [];
  if (words.at(sign) !== '=' || option === undefined) return undefined;
  return { option, typed: last === '=' ? '' : last, prefix: '' };
}

/** The choices that begin with what is typed. None: the option takes any value, so the shell offers files. */
export function completionsOf({ option, typed, prefix }: PartialValue, { choices }: KnownOptions): string[] {
  return (choices[option] ?? [])
    .filter((choice) => choice.startsWith(typed))
    .map((choice) => prefix + choice);
}

/** yargs' own script compares the answers with the word `=`, and then completes `--option=` with files. */
const bashScript = `_virtio_media_bridge() {
  local word=\${COMP_WORDS[COMP_CWORD]} found
  mapfile -t found < <(SHELL=bash ZSH_NAME= "$1" ${COMPLETION_REQUEST} "\${COMP_WORDS[@]:0:COMP_CWORD+1}" 2> /dev/null)
  [[ $word == '=' ]] && word=
  mapfile -t COMPREPLY < <(compgen -W "\${found[*]}" -- "$word")
}
complete -o bashdefault -o default -F _virtio_media_bridge virtio-media-bridge`;
