/** What `status` shows of a device: numbers and words of its sessions, queues and commands. docs/control.md explains them. */
import { errnoName, errnoText } from '../errno.js';
import { isMultiplanar } from '../v4l2/buffer-type.js';
import { type FrameCounts, timeBounds } from '../v4l2/frame-counters.js';
import { quantile, type Times, totalOf } from '../v4l2/histogram.js';
import { BufferType, format, pixFormat, pixFormatMplane } from '../v4l2/layout.js';
import { bufferTypeWord, fourcc } from '../v4l2/names.js';
import { kindName } from './commands/command-kinds.js';
import type { BufferQueue } from './queues/buffer-queue.js';
import { bufferBytes } from './queues/buffer-size.js';
import type { Session } from './session.js';
import type { QueueStatistics } from './statistics.js';
import type { Totals } from './totals.js';

/** Microseconds. null: nothing was counted. */
export interface TimeStatus {
  readonly count: number;
  readonly medianUs: number | null;
  readonly p99Us: number | null;
}

export interface FormatStatus {
  /** null: the buffer type has none. */
  readonly fourcc: string | null;
  readonly width: number | null;
  readonly height: number | null;
  /** Bytes of a buffer. */
  readonly bytes: number;
}

export interface FrameStatus {
  readonly frames: number;
  readonly bytes: number;
  readonly lost: number;
  readonly damaged: number;
  readonly latency: TimeStatus;
}

export interface QueueStatus extends FrameStatus {
  /** `VIDEO_CAPTURE`. */
  readonly type: string;
  readonly streaming: boolean;
  /** The memory behind the buffers. null: there are none. */
  readonly backing: string | null;
  readonly buffers: number;
  /** Buffers that the driver has. */
  readonly queued: number;
  readonly format: FormatStatus | null;
}

export interface SessionStatus {
  readonly id: number;
  /** `open`; `hung`: an ioctl goes on after its deadline; `gone`: the node is unplugged. */
  readonly state: 'open' | 'hung' | 'gone';
  /** Bytes of its buffers, which the kernel keeps in memory. */
  readonly bufferBytes: number;
  readonly queues: readonly QueueStatus[];
}

export interface CommandStatus {
  /** `QBUF`, `OPEN`. */
  readonly command: string;
  readonly count: number;
  readonly errors: number;
  /** `EBUSY`. null: none has failed. */
  readonly lastError: string | null;
  readonly time: TimeStatus;
}

/** The last command that failed. */
export interface FailureStatus {
  readonly command: string;
  readonly error: string;
  /** The error in words. */
  readonly text: string;
  readonly secondsAgo: number;
}

const rounded = (value: number | null): number | null => (value === null ? null : Math.round(value));

function timeStatus(times: Times): TimeStatus {
  const at = (q: number) => rounded(quantile(times, timeBounds, q));
  return { count: totalOf(times), medianUs: at(0.5), p99Us: at(0.99) };
}

export function frameStatus({ latency, ...counts }: FrameCounts): FrameStatus {
  return { ...counts, latency: timeStatus(latency) };
}

const VIDEO: ReadonlySet<number> = new Set([BufferType.VIDEO_CAPTURE, BufferType.VIDEO_OUTPUT]);

/** `record`: struct v4l2_format. */
function formatStatus(record: Uint8Array): FormatStatus {
  const { type, fmt } = format.read(record);
  const bytes = bufferBytes(record);
  if (!VIDEO.has(type) && !isMultiplanar(type)) return { fourcc: null, width: null, height: null, bytes };
  const { pixelformat, width, height } = (isMultiplanar(type) ? pixFormatMplane : pixFormat).read(fmt);
  return { fourcc: fourcc(pixelformat), width, height, bytes };
}

function queueStatus(
  type: number,
  { counters, format: record }: QueueStatistics,
  queue: BufferQueue | undefined,
  isPlanned: boolean,
): QueueStatus {
  return {
    type: bufferTypeWord(type),
    streaming: queue?.streaming ?? false,
    backing: queue?.backing ?? null,
    buffers: queue?.count ?? 0,
    queued: isPlanned ? counters.queued : (queue?.queued.size ?? 0),
    format: record && formatStatus(record),
    ...frameStatus(counters.counts),
  };
}

export function sessionStatus(session: Session): SessionStatus {
  const { id, queues, statistics, plans, bufferBytes, gone, isDegraded } = session;
  return {
    id,
    state: gone ? 'gone' : isDegraded ? 'hung' : 'open',
    bufferBytes,
    queues: [...statistics.queues].map(([type, statistic]) => {
      const queue = queues.get(type);
      return queueStatus(type, statistic, queue, queue !== undefined && plans.has(queue));
    }),
  };
}

/** One for each kind of command that came. */
export const commandStatuses = ({ commands }: Pick<Totals, 'commands'>): CommandStatus[] =>
  [...commands].map(([kind, { errors, lastErrno, times }]) => ({
    command: kindName(kind),
    count: totalOf(times),
    errors,
    lastError: lastErrno === 0 ? null : errnoName(lastErrno),
    time: timeStatus(times),
  }));

/** `age`: milliseconds since. */
export const failureStatus = (kind: number, errno: number, age: number): FailureStatus => ({
  command: kindName(kind),
  error: errnoName(errno),
  text: errnoText(errno),
  secondsAgo: Math.round(age / 1000),
});
