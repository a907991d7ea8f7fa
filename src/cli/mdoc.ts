/** Text as mdoc(7), the language of manual pages. */

/** mandoc -T lint allows no longer lines. */
const MAX_LINE = 78;

/** Text that a macro is given: a word that is the name of a macro stays a word. */
export const macroText = (text: string): string =>
  text
    .split(' ')
    .map((word) => (/^[A-Z%][A-Za-z0-9]{1,2}$/.test(word) ? `\\&${word}` : escaped(word)))
    .join(' ');

/** Lines of a paragraph: each sentence begins a line. The first letter is made large, and a full stop ends it. */
export function paragraph(text: string): string[] {
  const whole = text.trim().replace(/([^.!?])$/, '$1.');
  return whole
    .split(/(?<=[.!?]) +(?=[A-Z])/)
    .flatMap((sentence) => wrapped(sentence.charAt(0).toUpperCase() + sentence.slice(1)));
}

/** A list with a tag for each item. `tag`: the arguments of the macro It. */
export function tagList(items: readonly { tag: string; text: string }[]): string[] {
  return [
    '.Bl -tag -width Ds',
    ...items.flatMap(({ tag, text }) => [`.It ${tag}`, ...paragraph(text)]),
    '.El',
  ];
}

/** A command line as it is typed, continued over lines at its options. */
export function commandLine(text: string): string[] {
  const lines: string[] = [];
  for (const piece of text.split(/ (?=--)/)) {
    const last = lines.at(-1);
    if (last === undefined || last.length + piece.length > MAX_LINE - 20) lines.push(piece);
    else lines[lines.length - 1] = `${last} ${piece}`;
  }
  const continued = lines.map(
    (line, index) => (index === 0 ? line : `    ${line}`) + (index < lines.length - 1 ? ' \\' : ''),
  );
  return ['.Bd -literal -offset indent', ...continued.map(textLine), '.Ed'];
}

function wrapped(text: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/).map(escaped)) {
    if (line !== '' && line.length + 1 + word.length > MAX_LINE) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].map(guarded);
}

const textLine = (text: string): string => guarded(escaped(text));

/** A line that begins like a macro is text. */
const guarded = (line: string): string => (/^[.']/.test(line) ? `\\&${line}` : line);

/** A hyphen stays the character that is typed; what is not ASCII has a name. */
const escaped = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(
      /[^\x20-\x7e]/gu,
      (sign) => `\\[u${sign.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]`,
    );
