/**
 * The metrics, one row each. Names follow Prometheus' rules: base units, `_total` for what only grows. Labels are the
 * paths of the operator's nodes, V4L2's buffer types and the bridge's own list of commands: a guest cannot make any.
 */
import type { PairReport } from '../daemon/report.js';
import { kindName } from '../media/commands/command-kinds.js';
import { timeBounds } from '../v4l2/frame-counters.js';
import { cumulated, type Times, totalOf } from '../v4l2/histogram.js';
import { bufferTypeWord } from '../v4l2/names.js';

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  /** Absent: the name of the row. */
  readonly metricName?: string;
}

export interface MetricRow {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** The samples of one pair. */
  readonly samples: (pair: PairReport) => Sample[];
}

const US_PER_SECOND = 1e6;
/** Bounds of buckets in microseconds: 16 us, 64 us, … 4.2 s. They are bounds of the addon's buckets too. */
const limits = Array.from({ length: 10 }, (_, n) => 4 ** (n + 2));

const one = (pair: PairReport, value: number): Sample[] => [{ labels: { device: pair.device }, value }];

/** A sample for each buffer type whose frames came. */
function queues(pair: PairReport, numberOf: (counts: FrameCountsOf) => number): Sample[] {
  return [...pair.totals.frames].map(([type, counts]) => ({
    labels: { device: pair.device, queue: bufferTypeWord(type) },
    value: numberOf(counts),
  }));
}

type FrameCountsOf =
  PairReport['totals']['frames'] extends ReadonlyMap<number, infer Counts> ? Counts : never;

function histogram(name: string, labels: Sample['labels'], times: Times): Sample[] {
  const total = totalOf(times);
  const counts = cumulated(times, timeBounds, limits);
  const bucket = (le: string, value: number): Sample => ({
    labels: { ...labels, le },
    value,
    metricName: `${name}_bucket`,
  });
  return [
    ...limits.map((limit, n) => bucket(`${limit / US_PER_SECOND}`, counts[n]!)),
    bucket('+Inf', total),
    { labels, value: times.sum / US_PER_SECOND, metricName: `${name}_sum` },
    { labels, value: total, metricName: `${name}_count` },
  ];
}

const FRAME_LATENCY = 'virtio_media_frame_latency_seconds';
const COMMAND_DURATION = 'virtio_media_command_duration_seconds';

export const metricRows: readonly MetricRow[] = [
  {
    name: 'virtio_media_vm_connected',
    help: 'Whether a VM has the device: 1 or 0.',
    type: 'gauge',
    samples: (pair) => one(pair, pair.vmm ? 1 : 0),
  },
  {
    name: 'virtio_media_sessions',
    help: 'Sessions that the guest has open.',
    type: 'gauge',
    samples: (pair) => one(pair, pair.sessions.length),
  },
  {
    name: 'virtio_media_sessions_hung',
    help: 'Sessions whose ioctl goes on after its deadline.',
    type: 'gauge',
    samples: (pair) => one(pair, pair.sessions.filter(({ state }) => state === 'hung').length),
  },
  {
    name: 'virtio_media_buffer_memory_bytes',
    help: 'Memory of the buffers of all open sessions.',
    type: 'gauge',
    samples: (pair) => one(pair, sum(pair.sessions.map(({ bufferBytes }) => bufferBytes))),
  },
  {
    name: 'virtio_media_buffers_queued',
    help: 'Buffers that the driver has, of all open sessions.',
    type: 'gauge',
    samples: (pair) =>
      one(pair, sum(pair.sessions.flatMap((session) => session.queues.map(({ queued }) => queued)))),
  },
  {
    name: 'virtio_media_frames_total',
    help: 'Buffers that came back from the driver and were told to the guest.',
    type: 'counter',
    samples: (pair) => queues(pair, ({ frames }) => frames),
  },
  {
    name: 'virtio_media_frame_bytes_total',
    help: 'Bytes in these buffers.',
    type: 'counter',
    samples: (pair) => queues(pair, ({ bytes }) => bytes),
  },
  {
    name: 'virtio_media_frames_lost_total',
    help: 'Frames that the driver has lost: gaps in its numbers.',
    type: 'counter',
    samples: (pair) => queues(pair, ({ lost }) => lost),
  },
  {
    name: 'virtio_media_frames_damaged_total',
    help: 'Frames with the ERROR flag.',
    type: 'counter',
    samples: (pair) => queues(pair, ({ damaged }) => damaged),
  },
  {
    name: FRAME_LATENCY,
    help: "From the driver's timestamp of a frame to its event, where the timestamp is of the monotonic clock.",
    type: 'histogram',
    samples: (pair) =>
      [...pair.totals.frames].flatMap(([type, { latency }]) =>
        histogram(FRAME_LATENCY, { device: pair.device, queue: bufferTypeWord(type) }, latency),
      ),
  },
  {
    name: COMMAND_DURATION,
    help: 'From the arrival of a command to its answer, by ioctl.',
    type: 'histogram',
    samples: (pair) =>
      [...pair.totals.commands].flatMap(([kind, { times }]) =>
        histogram(COMMAND_DURATION, { device: pair.device, command: kindName(kind) }, times),
      ),
  },
  {
    name: 'virtio_media_command_errors_total',
    help: 'Commands that were answered with an error, by ioctl.',
    type: 'counter',
    samples: (pair) =>
      [...pair.totals.commands].map(([kind, { errors }]) => ({
        labels: { device: pair.device, command: kindName(kind) },
        value: errors,
      })),
  },
];

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
