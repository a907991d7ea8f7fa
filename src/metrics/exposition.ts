/** The metrics as text: Prometheus' own form, or OpenMetrics if the scraper asks for it. */
import { Registry } from 'prom-client';
import type { PairReport } from '../daemon/report.js';
import { packageVersion } from '../package.js';
import { type MetricRow, metricRows, type Sample } from './table.js';

export interface Exposition {
  readonly contentType: string;
  readonly text: string;
}

const US = 1e-6;
const OPEN_METRICS = /\bapplication\/openmetrics-text\b/;

/** What a process of any kind tells, and the version. */
const processRows: readonly (Omit<MetricRow, 'samples'> & {
  value: () => number;
  labels?: () => Sample['labels'];
})[] = [
  {
    name: 'virtio_media_build_info',
    help: 'The version of the bridge.',
    type: 'gauge',
    labels: () => ({ version: packageVersion() }),
    value: () => 1,
  },
  {
    name: 'process_cpu_seconds_total',
    help: 'CPU time of the process, user and system.',
    type: 'counter',
    value: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) * US;
    },
  },
  {
    name: 'process_resident_memory_bytes',
    help: 'Memory of the process that is in RAM.',
    type: 'gauge',
    value: () => process.memoryUsage.rss(),
  },
  {
    name: 'process_start_time_seconds',
    help: 'When the process has started, since 1970.',
    type: 'gauge',
    value: () => Math.round(performance.timeOrigin / 1000),
  },
];

/** `accept`: what the scraper takes, as its HTTP header says. */
export async function exposition(pairs: readonly PairReport[], accept = ''): Promise<Exposition> {
  const isOpen = OPEN_METRICS.test(accept);
  const contentType = isOpen ? Registry.OPENMETRICS_CONTENT_TYPE : Registry.PROMETHEUS_CONTENT_TYPE;
  // A registry of its own: prom-client changes the names of counters when it writes OpenMetrics.
  const registry = new Registry();
  registry.setContentType(contentType as never);
  for (const { value, labels, ...row } of processRows)
    register(registry, row, [{ labels: labels?.() ?? {}, value: value() }]);
  for (const { samples, ...row } of metricRows) register(registry, row, pairs.flatMap(samples));
  return { contentType, text: await registry.metrics() };
}

/** prom-client's own metrics count by themselves, but these numbers are counted already. It asks them by get() only. */
function register(
  registry: Registry,
  { name, help, type }: Omit<MetricRow, 'samples'>,
  values: readonly Sample[],
): void {
  const metric = { name, help, type, get: () => Promise.resolve({ name: metric.name, help, type, values }) };
  registry.registerMetric(metric as never);
}
