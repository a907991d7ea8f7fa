/** Reads the pages of docs/guides/: their fenced blocks, the commands in these, and whether a block is marked as not run. */
import assert from 'node:assert/strict';
import { split } from 'shlex';

export interface Block {
  /** Word behind the fence: `sh`, `yaml`. Empty: none. */
  readonly language: string;
  readonly text: string;
  /** Line of the opening fence in the page, from 1. */
  readonly line: number;
  /** Why it is not run: the text of `<!-- not run: … -->` on the line before. undefined: it has no such mark. */
  readonly notRun: string | undefined;
}

const FENCE = /^( *)```(\w*)$/;
const MARK = /^ *<!-- not run: (.+) -->$/;

/** Every fenced block, without the indentation of its fence. */
export function blocksOf(page: string): Block[] {
  const lines = page.split('\n');
  const blocks: Block[] = [];
  for (let at = 0; at < lines.length; at++) {
    const [, indentation, language] = FENCE.exec(lines[at]!) ?? [];
    if (indentation === undefined) continue;
    const end = lines.indexOf(`${indentation}\`\`\``, at + 1);
    assert.ok(end > 0, `the fence of line ${at + 1} does not end`);
    const text = lines.slice(at + 1, end).map((each) => each.slice(indentation.length));
    const [, notRun] = MARK.exec(lines[at - 1] ?? '') ?? [];
    blocks.push({ language: language!, text: `${text.join('\n')}\n`, line: at + 1, notRun });
    at = end;
  }
  return blocks;
}

/** The words of each command of a block: lines that end in `\` are joined, `&&` parts commands, a redirection ends one. */
export function commandsOf({ text }: Block): string[][] {
  const lines = text
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter(Boolean);
  return lines
    .flatMap((line) => line.split(' && '))
    .map((line) => {
      const words = split(line);
      const redirection = words.indexOf('>');
      return redirection < 0 ? words : words.slice(0, redirection);
    });
}
