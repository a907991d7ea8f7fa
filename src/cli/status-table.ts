/** The tables of `status`. */
import { filesize } from 'filesize';
import type { PairStatus } from '../daemon/report.js';
import type { CommandStatus, QueueStatus, SessionStatus, TimeStatus } from '../media/status.js';
import { columns } from './columns.js';
import type { DaemonStatus } from './observation.js';

/** Rates. null: there was no earlier look. */
interface Rates {
  readonly framesPerSecond: number | null;
  readonly bytesPerSecond: number | null;
}

type Rated<Queue> = Omit<SessionStatus, 'queues'> & { readonly queues: readonly Queue[] };

/** What a bridge answers, and which one it is. */
export interface BridgeStatus extends DaemonStatus {
  readonly socket: string;
  readonly pairs: readonly (Omit<PairStatus, 'sessions'> & {
    readonly sessions: readonly Rated<QueueStatus & Partial<Rates>>[];
  })[];
}

type Queue = BridgeStatus['pairs'][number]['sessions'][number]['queues'][number];
type Pair = BridgeStatus['pairs'][number];

const MS = 1000;
/** Commands in the table of a pair: those that took longest together. */
const SHOWN_COMMANDS = 8;

/** `after`, with what came since `before`, `elapsed` milliseconds ago. */
export function rated(
  before: readonly BridgeStatus[],
  after: readonly BridgeStatus[],
  elapsed: number,
): BridgeStatus[] {
  const known = new Map(before.flatMap(queuesOf));
  return after.map((bridge) => ({
    ...bridge,
    pairs: bridge.pairs.map((pair) => ({
      ...pair,
      sessions: pair.sessions.map((session) => ({
        ...session,
        queues: session.queues.map((queue) => ({
          ...queue,
          ...ratesOf(known.get(nameOf(bridge, pair, session.id, queue)), queue, elapsed),
        })),
      })),
    })),
  }));
}

const nameOf = ({ socket, pid }: BridgeStatus, { device, socket: at }: Pair, id: number, { type }: Queue) =>
  JSON.stringify([socket, pid, device, at, id, type]);

const queuesOf = (bridge: BridgeStatus): [string, Queue][] =>
  bridge.pairs.flatMap((pair) =>
    pair.sessions.flatMap(({ id, queues }) =>
      queues.map((queue): [string, Queue] => [nameOf(bridge, pair, id, queue), queue]),
    ),
  );

function ratesOf(before: Queue | undefined, after: Queue, elapsed: number): Rates {
  if (!before || elapsed <= 0) return { framesPerSecond: null, bytesPerSecond: null };
  const perSecond = (count: number): number => Math.round((Math.max(0, count) * MS * 10) / elapsed) / 10;
  return {
    framesPerSecond: perSecond(after.frames - before.frames),
    bytesPerSecond: Math.round(perSecond(after.bytes - before.bytes)),
  };
}

/** For each bridge: its pairs, their sessions, and their commands. */
export function statusText(bridges: readonly BridgeStatus[]): string {
  return bridges.map(bridgeText).join('\n\n');
}

function bridgeText(bridge: BridgeStatus): string {
  const { socket, pid, daemon, uptime, pairs } = bridge;
  const head = `${socket}: process ${pid}, version ${daemon}, up ${timeText(uptime)}`;
  const tables = [pairTable(pairs), sessionTable(pairs), commandTable(pairs)].filter(
    (lines) => lines.length > 0,
  );
  return [head, ...tables.flatMap((lines) => ['', ...lines])].join('\n');
}

function pairTable(pairs: readonly Pair[]): string[] {
  const header = ['DEVICE', 'CARD', 'VM', 'SESSIONS', 'LAST ERROR'];
  return columns([
    header,
    ...pairs.map(({ device, card, vmm, sessions, leaving, lastFailure }) => [
      device,
      card,
      vmm ? `${vmm.pid ?? 'yes'}` : '-',
      `${sessions.length}${leaving > 0 ? ` (${leaving} leaving)` : ''}`,
      lastFailure
        ? `${lastFailure.command} ${lastFailure.error} (${lastFailure.text}), ${timeText(lastFailure.secondsAgo)} ago`
        : '-',
    ]),
  ]);
}

function sessionTable(pairs: readonly Pair[]): string[] {
  const header = [
    ...['DEVICE', 'SESSION', 'QUEUE', 'STATE', 'FORMAT', 'FRAMES', 'FPS', 'RATE', 'LOST', 'DAMAGED'],
    ...['QUEUED', 'LATENCY', '99TH', 'MEMORY'],
  ];
  const rows = pairs.flatMap((pair) => pair.sessions.flatMap((session) => sessionRows(pair, session)));
  return rows.length > 0 ? columns([header, ...rows]) : [];
}

function sessionRows(
  { device }: Pair,
  { id, state, bufferBytes, queues }: Pair['sessions'][number],
): string[][] {
  const memory = bytesText(bufferBytes);
  if (queues.length === 0) return [[device, `${id}`, '-', state, ...Array<string>(9).fill('-'), memory]];
  return queues.map((queue, n) => [
    device,
    `${id}`,
    queue.type.toLowerCase().replaceAll('_', ' '),
    state === 'open' ? (queue.streaming ? 'streams' : 'open') : state,
    formatText(queue),
    `${queue.frames}`,
    numberText(queue.framesPerSecond),
    queue.bytesPerSecond == null ? '-' : `${bytesText(queue.bytesPerSecond)}/s`,
    `${queue.lost}`,
    `${queue.damaged}`,
    queue.buffers > 0 ? `${queue.queued} of ${queue.buffers}` : '-',
    ...timesText(queue.latency),
    n === 0 ? memory : '',
  ]);
}

function formatText({ format }: Queue): string {
  if (!format) return '-';
  const { fourcc, width, height, bytes } = format;
  return fourcc === null ? `${bytes} bytes` : `${fourcc} ${width}x${height}`;
}

/** Most of the time that a pair has spent on commands, by command. */
function commandTable(pairs: readonly Pair[]): string[] {
  const header = ['DEVICE', 'COMMAND', 'COUNT', 'MEDIAN', '99TH', 'ERRORS', 'LAST'];
  const rows = pairs.flatMap(({ device, commands }) =>
    [...commands]
      .sort((a, b) => weightOf(b) - weightOf(a))
      .slice(0, SHOWN_COMMANDS)
      .map((row) => [
        device,
        row.command,
        `${row.count}`,
        ...timesText(row.time),
        `${row.errors}`,
        row.lastError ?? '-',
      ]),
  );
  return rows.length > 0 ? columns([header, ...rows]) : [];
}

const weightOf = ({ count, time }: CommandStatus): number => count * (time.medianUs ?? 0);

const timesText = ({ medianUs, p99Us }: TimeStatus): string[] => [microText(medianUs), microText(p99Us)];

function microText(us: number | null): string {
  if (us === null) return '-';
  return us < MS ? `${us} us` : us < MS * MS ? `${numberText(us / MS)} ms` : `${numberText(us / MS / MS)} s`;
}

/** Three digits are enough. */
const numberText = (number: number | null | undefined): string =>
  number == null ? '-' : number.toFixed(number < 10 ? 2 : number < 100 ? 1 : 0);

const bytesText = (bytes: number): string => filesize(bytes, { standard: 'iec', round: 1 });

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

function timeText(seconds: number): string {
  if (seconds < MINUTE) return `${seconds} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min`;
  return seconds < DAY ? `${Math.floor(seconds / HOUR)} h` : `${Math.floor(seconds / DAY)} d`;
}
