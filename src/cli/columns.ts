/** Aligned text. By hand, because cli-table3 measures cells with string-width 4, which takes Thai and Hangul for wider. */
import stringWidth from 'string-width';

/**
 * The lines of a table: the columns are two blanks apart, and no line ends in blanks. A width is that on a terminal: a
 * CJK letter or an emoji has two cells, a combining mark none.
 */
export function columns(rows: readonly (readonly string[])[], indent = ''): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, stringWidth(cell));
    });
  }
  const padded = (cell: string, width: number) => cell + ' '.repeat(width - stringWidth(cell));
  return rows.map((row) =>
    (indent + row.map((cell, column) => padded(cell, widths[column]!)).join('  ')).trimEnd(),
  );
}
