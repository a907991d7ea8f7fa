/** The figures as text: a table with a column for each subject, which Markdown understands too. */
import { type Figure, figureOf, floorOf, floors, type Row, rows } from './figures.js';
import type { Cores } from './options.js';
import type { Samples } from './samples.js';

/** Lines of cells with `|` between them, padded to the widest cell of each column. The first line is the head. */
export function textTable(lines: readonly (readonly string[])[]): string {
  const widths = lines[0]!.map((_, column) => Math.max(3, ...lines.map((cells) => cells[column]!.length)));
  const text = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`;
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`;
  const [head, ...body] = lines.map(text);
  return [head, rule, ...body].join('\n');
}

/** `71.7 (70.1-73.2) x14.3`: the median, the least and the greatest of the runs, the ratio to the floor. */
export function cell(figure: Figure | undefined, digits: number): string {
  if (!figure) return '-';
  const { value, ratio } = figure;
  const [median, least, greatest] = [value.median, value.least, value.greatest].map((each) =>
    each.toFixed(digits),
  );
  const spread = least === greatest ? '' : ` (${least}-${greatest})`;
  return `${median}${spread}${ratio ? ` x${ratio.median.toFixed(1)}` : ''}`;
}

const title = ({ name, unit }: Row) => (unit ? `${name}, ${unit}` : name);

/** The table of all that was measured on so many cores. Rows that nobody measured are left out. */
export function tableOf(samples: Samples, cores: Cores): string {
  const subjects = samples.subjects(cores).filter((each) => !floors.includes(each) && each !== 'lane hop');
  const body = rows.flatMap((row) => {
    const figures = subjects.map((subject) => figureOf(samples, cores, row, subject));
    if (figures.every((figure) => figure === undefined)) return [];
    const cells = [floorOf(samples, cores, row), ...figures].map((figure) => cell(figure, row.digits));
    return [[title(row), ...cells]];
  });
  return textTable([[cores === 1 ? 'one core' : 'two cores', 'floor', ...subjects], ...body]);
}
