/** The command `inspect`: everything about one host node. */
import { existsSync } from 'node:fs';
import type { CommandModule } from 'yargs';
import type { Control } from '../v4l2/controls.js';
import { findNode } from '../v4l2/discovery.js';
import type { Format, Fraction, FrameSize, Interval, QueueDescription } from '../v4l2/enumeration.js';
import { capabilityWords } from '../v4l2/names.js';
import { type Survey, surveyNode } from '../v4l2/survey.js';
import { columns } from './columns.js';
import { OperatorError } from './exit.js';
import { outputOf } from './output.js';

export const inspect: CommandModule<object, { device: string; json: boolean | undefined }> = {
  command: 'inspect <device>',
  describe: 'show everything about one node',
  builder: (parser) =>
    parser
      .positional('device', { type: 'string', demandOption: true, describe: 'the node, or a link to it' })
      .option('json', { type: 'boolean', describe: 'print JSON: one object' }),
  handler: async ({ device, json }) => {
    const node = await findNode(device);
    if (node === undefined) throw notFound(device);
    const { probeFile } = await import('../v4l2/probe-file.js');
    const survey = await surveyNode(node, 'full', probeFile(node.path));
    console.log(outputOf(survey, json, inspectText));
  },
};

const notFound = (device: string): OperatorError =>
  existsSync(device)
    ? new OperatorError(
        'ERR_NODE_NOT_V4L2',
        `${device} is no V4L2 node: virtio-media-bridge list shows those`,
      )
    : new OperatorError(
        'ERR_NODE_NOT_FOUND',
        `there is no ${device}: virtio-media-bridge list shows the nodes`,
      );

/** The survey as text: facts about the node, then the queues with their formats, then the controls. */
export function inspectText(survey: Survey): string {
  const parts = [factsOf(survey), ...survey.queues.map(queueText), controlsText(survey.controls)];
  return parts
    .filter((part) => part.length > 0)
    .map((part) => part.join('\n'))
    .join('\n\n');
}

function factsOf({ node, kind, identity, serveable, reason, cautions }: Survey): string[] {
  const facts: [string, string][] = [
    ['card', identity?.card ?? node.title],
    ['driver', identity?.driver ?? node.driver],
    ['bus', identity?.busInfo ?? ''],
    ['device', node.device],
    ['kind', kind],
    ['capabilities', identity ? capabilityWords(identity.deviceCaps).join(' ') : ''],
    ...node.links.map((link, index): [string, string] => [index === 0 ? 'links' : '', link]),
    ['bridge', serveable ? 'can serve it' : `cannot serve it: ${reason}`],
    ...cautions.map((caution): [string, string] => ['', caution]),
  ];
  return [
    node.path,
    ...columns(
      facts.filter(([, value]) => value !== ''),
      '  ',
    ),
  ];
}

function queueText({ name, memory, exportable, formats }: QueueDescription): string[] {
  const exported = exportable === null ? '' : exportable ? '; exports buffers' : '; exports no buffers';
  const types = memory === null ? 'unknown while another program uses it' : memory.join(' ') || 'none';
  return [`${name}  memory: ${types}${exported}`, ...formatsText(formats)];
}

/** If consecutive formats have the same sizes, the sizes are listed once, below the last of them. */
function formatsText(formats: readonly Format[]): string[] {
  const sizes = formats.map((format) =>
    columns(
      format.sizes.map((size) => [sizeText(size), intervalsText(size.intervals)]),
      '    ',
    ),
  );
  return formats.flatMap((format, index) => {
    const own = sizes[index]!;
    return own.join() === sizes[index + 1]?.join() ? [formatText(format)] : [formatText(format), ...own];
  });
}

function formatText({ fourcc, description, compressed, emulated }: Format): string {
  const marks = [...(compressed ? ['compressed'] : []), ...(emulated ? ['emulated'] : [])];
  return `  ${fourcc.padEnd(4)}  ${description}${marks.length > 0 ? ` (${marks.join(', ')})` : ''}`;
}

function sizeText({ width, height, range }: FrameSize): string {
  if (range === undefined) return `${width}x${height}`;
  const { minWidth, minHeight, stepWidth, stepHeight } = range;
  return `${minWidth}x${minHeight} to ${width}x${height} in steps of ${stepWidth}x${stepHeight}`;
}

function intervalsText(intervals: readonly Interval[]): string {
  const rates = intervals.map((interval) =>
    'minimum' in interval ? `${rate(interval.maximum)} to ${rate(interval.minimum)}` : rate(interval),
  );
  return rates.length > 0 ? `${rates.join(', ')} fps` : '';
}

/** Frames per second for an interval in seconds, with at most three decimals. */
function rate({ numerator, denominator }: Fraction): string {
  return numerator === 0 ? '?' : `${Number((denominator / numerator).toFixed(3))}`;
}

function controlsText(controls: readonly Control[]): string[] {
  if (controls.length === 0) return [];
  const rows = controls.map((control) => [
    hexadecimal(control.id),
    control.name,
    control.elements > 1 ? `${control.type}[${control.elements}]` : control.type,
    [currentText(control), rangeText(control), ...marksOf(control)].filter((part) => part !== '').join(' '),
  ]);
  return ['Controls', ...columns(rows, '  ')];
}

function currentText({ type, value, menu }: Control): string {
  if (value === undefined) return '';
  if (typeof value === 'object') return `(${value.left},${value.top})/${value.width}x${value.height}`;
  if (type === 'boolean') return value ? 'on' : 'off';
  if (type === 'bitmask') return hexadecimal(value);
  const item = menu.find(({ index }) => index === value);
  return item ? `${value} (${item.name})` : `${value}`;
}

const ranged: ReadonlySet<string> = new Set(['integer', 'integer64', 'u8', 'u16', 'u32']);

function rangeText({ type, minimum, maximum, step, defaultValue, menu }: Control): string {
  if (ranged.has(type)) return `[${minimum} to ${maximum}, step ${step}, default ${defaultValue}]`;
  if (type === 'bitmask')
    return `[bits ${hexadecimal(Number(maximum))}, default ${hexadecimal(Number(defaultValue))}]`;
  return menu.length > 0 ? `[${menu.map(({ index, name }) => `${index} ${name}`).join(', ')}]` : '';
}

const marksOf = ({ readOnly, inactive }: Control): string[] => [
  ...(readOnly ? ['read-only'] : []),
  ...(inactive ? ['inactive'] : []),
];

const hexadecimal = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;
