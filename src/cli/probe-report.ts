/** The result of `probe`, as data and as text. */
import { filesize } from 'filesize';
import type { Capture } from '../client/capture.js';
import type { NamedFormat } from '../client/transcode.js';
import type { FrameSize, QueueDescription } from '../v4l2/enumeration.js';
import { columns } from './columns.js';
import type { FileTranscode } from './transcode.js';

/** Characters of a line of values, without the name in front. */
const WIDTH = 80;
/** Most kinds of damage that have a line. Each length of a short frame is a kind. */
const MAX_REASONS = 5;

export interface ProbeReport {
  readonly socket: string;
  readonly card: string;
  readonly deviceType: number;
  readonly capabilities: readonly string[];
  readonly virtioFeatures: readonly string[];
  readonly protocolFeatures: readonly string[];
  /** Bytes of SHM region 0. 0: there is none. */
  readonly sharedMemory: number;
  readonly queues: readonly QueueDescription[];
  readonly controls: number;
  /** null: no frames were requested, or the device delivers none by itself. */
  readonly capture: ProbedCapture | null;
  /** null: --transcode was not given. */
  readonly transcode: FileTranscode | null;
}

/** The frames of a camera; `outputBytes`: bytes that were written to `output`. */
export interface ProbedCapture extends Capture {
  readonly memory: 'mmap' | 'userptr';
  /** How many mappings the bridge has made in SHM region 0. */
  readonly mappings: number;
  readonly output: string | null;
  readonly outputBytes: number;
}

type Fact = readonly [name: string, value: string];
const fact = (name: string, value: string): Fact => [name, value];

/** The report as text: one fact on each line. */
export function reportText(report: ProbeReport): string {
  const { sharedMemory } = report;
  const facts: Fact[] = [
    ['card', report.card],
    ['device', report.deviceType === 0 ? 'video' : `VFL type ${report.deviceType}`],
    ['capabilities', report.capabilities.join(' ')],
    ['virtio', report.virtioFeatures.join(' ')],
    ['vhost-user', report.protocolFeatures.join(' ')],
    ['shared memory', sharedMemory > 0 ? `a window of ${bytesText(sharedMemory)}` : 'none: no MMAP buffers'],
    ['controls', `${report.controls}`],
    ...report.queues.flatMap(queueFacts),
    ...frameFacts(report),
  ];
  return [`${report.socket}: the bridge works`, ...columns(facts, '  ')].join('\n');
}

/** Formats with the same sizes share one entry. */
function queueFacts({ name, memory, formats }: QueueDescription): Fact[] {
  const bySizes = new Map<string, string[]>();
  for (const { fourcc, sizes } of formats) {
    const key = sizes.map(sizeText).join(' ');
    bySizes.set(key, [...(bySizes.get(key) ?? []), fourcc]);
  }
  const lines = [...bySizes].flatMap(([sizes, fourccs]) => [
    ...wrapped(fourccs),
    ...wrapped(sizes.split(' ').filter(Boolean)).map((line) => `  ${line}`),
  ]);
  return [fact(name, `memory: ${memory?.join(' ') || 'unknown'}`), ...lines.map((line) => fact('', line))];
}

function wrapped(words: readonly string[]): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const longer = `${lines.at(-1) ?? ''} ${word}`;
    if (lines.length > 0 && longer.length <= WIDTH) lines.splice(-1, 1, longer);
    else lines.push(word);
  }
  return lines;
}

function sizeText({ width, height, range }: FrameSize): string {
  return range ? `${range.minWidth}x${range.minHeight}…${width}x${height}` : `${width}x${height}`;
}

function frameFacts({ capture, transcode }: ProbeReport): Fact[] {
  if (transcode) return transcodeFacts(transcode);
  if (capture) return captureFacts(capture);
  return [fact('frames', 'none: not asked for, or nothing that this device delivers')];
}

function transcodeFacts(done: FileTranscode): Fact[] {
  const { role, from, to, framesIn, framesOut, damaged, refused, seconds, changes, buffers } = done;
  const rate = seconds > 0 ? ` (${(framesOut / seconds).toFixed(1)} a second)` : '';
  return [
    [role, `${formatText(from)} to ${formatText(to)}, ${buffers.output} and ${buffers.capture} buffers`],
    [
      'frames',
      `${framesIn} in, ${framesOut} out in ${seconds.toFixed(2)} s${rate}, ${damaged} damaged, ${refused} refused`,
    ],
    ...changes.map((change) => fact('change', `${formatText(change)} from frame ${change.frame} on`)),
    ['written', `${done.output}, ${bytesText(done.outputBytes)}`],
  ];
}

function formatText({ format, width, height }: NamedFormat): string {
  return `${format} ${width}x${height}`;
}

function captureFacts(capture: ProbedCapture): Fact[] {
  const { format, width, height, frames, fps, arrivalFps, dropped, damaged, bytes, output, outputBytes } =
    capture;
  const rate = fps === null ? '' : `, ${fps.toFixed(2)} fps`;
  const arrival = arrivalFps === null ? '' : ` (${arrivalFps.toFixed(2)} as they arrived)`;
  const facts: Fact[] = [
    ['capture', `${format} ${width}x${height}, ${capture.buffers} buffers, ${mappingText(capture)}`],
    ['frames', `${frames}${rate}${arrival}, ${dropped} dropped, ${damaged} damaged, ${bytesText(bytes)}`],
    ['timestamps', clockTexts[capture.clock]],
  ];
  if (output === null) return facts;
  const written = outputBytes === 0 ? 'nothing' : `${output}, ${bytesText(outputBytes)}`;
  return [...facts, ...damageFacts(capture), ['written', written], ...lossFacts(capture)];
}

/** What a timestamp of the frames means in a guest (docs/vmm.md, "Timestamps"). */
const clockTexts: Readonly<Record<ProbedCapture['clock'], string>> = {
  monotonic: "CLOCK_MONOTONIC of the host: differences are exact, a guest's own clock is another one",
  copy: 'copied from the source frames',
  unknown: 'of a clock that the driver does not name',
};

/** One line for each kind of damage. */
function damageFacts({ damage }: ProbedCapture): Fact[] {
  const more = damage.slice(MAX_REASONS).reduce((sum, { frames }) => sum + frames, 0);
  const lines = damage.slice(0, MAX_REASONS).map(({ reason, frames }) => `${frames}: ${reason}`);
  if (more > 0) lines.push(`${more}: other damage`);
  return lines.map((line, index) => fact(index === 0 ? 'damaged' : '', line));
}

function lossFacts({ loss }: ProbedCapture): Fact[] {
  if (loss === null) return [];
  const percent = Math.round(loss.missing * 100);
  const share = percent === 0 ? 'parts of it may be wrong' : `${percent} % of it is missing, and grey`;
  return [fact('picture', `damaged: ${share} (${loss.reason})`)];
}

function mappingText({ memory, mappings }: ProbedCapture): string {
  if (memory === 'userptr') return 'in guest pages';
  return mappings === 1 ? '1 SHM mapping for all of them' : `${mappings} SHM mappings`;
}

function bytesText(bytes: number): string {
  return filesize(bytes, { standard: 'iec', round: 1, symbols: { B: bytes === 1 ? 'byte' : 'bytes' } });
}
