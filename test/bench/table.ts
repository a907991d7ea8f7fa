/** The figures as text: a table with a column for each subject, which Markdown understands too. */
import { type Figure, figureOf, floorOf, floors, type Row, rows } from './figures.js';
import type { Cores } from './options.js';
import { type Samples, spreadOf } from './samples.js';

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
  const times = ratio?.median.toFixed(ratio.median < 1 ? 2 : 1);
  return `${median}${spread}${times ? ` x${times}` : ''}`;
}

/** The phases of which the threads are told. */
const threaded = {
  G_INPUT: 'G_INPUT',
  EXT_CTRLS: 'EXT_CTRLS',
  paced: 'every 2 ms',
  rate120: '120 fps',
  stream: 'full speed',
};
const LEAST_US = 0.05;

/** `main 55.0, node 38.0`: CPU of the threads of a back-end by their names, the busiest first. */
function threadsOf(samples: Samples, cores: Cores, subject: string, phase: string): string {
  const threads = samples.keys(cores, { subject, phase }).filter((key) => key.startsWith('cpu.'));
  const busy = threads.flatMap((key) => {
    const median = spreadOf([...samples.values(cores, { subject, phase, key }).values()])?.median ?? 0;
    return median < LEAST_US ? [] : [{ name: key.slice('cpu.'.length), median }];
  });
  const sorted = busy.toSorted((a, b) => b.median - a.median);
  return sorted.map(({ name, median }) => `${name} ${median.toFixed(1)}`).join(', ') || '-';
}

/** Microseconds of CPU a command or a frame, by the names of threads. Empty if no phase was measured. */
export function threadTableOf(samples: Samples, cores: Cores): string {
  const subjects = subjectsOf(samples, cores).filter((each) => each !== 'native');
  const body = Object.entries(threaded).flatMap(([phase, name]) => {
    const cells = subjects.map((subject) => threadsOf(samples, cores, subject, phase));
    return cells.every((each) => each === '-') ? [] : [[name, ...cells]];
  });
  const where = cores === 1 ? 'one core' : 'two cores';
  return body.length > 0 ? textTable([[`${where}, CPU by thread, us`, ...subjects], ...body]) : '';
}

/** The subjects with a column of their own. */
const subjectsOf = (samples: Samples, cores: Cores) =>
  samples.subjects(cores).filter((each) => !floors.includes(each));

const title = ({ name, unit }: Row) => (unit ? `${name}, ${unit}` : name);

/** The table of all that was measured on so many cores. Rows that nobody measured are left out. */
export function tableOf(samples: Samples, cores: Cores): string {
  const subjects = subjectsOf(samples, cores);
  const body = rows.flatMap((row) => {
    const figures = subjects.map((subject) => figureOf(samples, cores, row, subject));
    if (figures.every((figure) => figure === undefined)) return [];
    const cells = [floorOf(samples, cores, row), ...figures].map((figure) => cell(figure, row.digits));
    return [[title(row), ...cells]];
  });
  return textTable([[cores === 1 ? 'one core' : 'two cores', 'floor', ...subjects], ...body]);
}
