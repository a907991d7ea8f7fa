/** The dashboard and docs/control.md name the metrics that there are. */
import assert from 'node:assert/strict';
import { metricRows } from '../../../src/metrics/table.js';
import { read } from '../support/document.js';

const BUCKETS = /_(bucket|sum|count)$/;
const namesIn = (text: string): string[] => [
  ...new Set((text.match(/\bvirtio_media_\w+/g) ?? []).map((name) => name.replace(BUCKETS, ''))),
];

describe('metrics: what names them', () => {
  const names = metricRows.map(({ name }) => name);

  it('the dashboard asks for metrics that there are, with labels that they have', () => {
    const dashboard = JSON.parse(read('monitoring/grafana-dashboard.json')) as {
      panels: { id: number; targets: { expr: string }[] }[];
    };
    const expressions = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
    assert.ok(expressions.length >= dashboard.panels.length);
    const asked = namesIn(expressions.join(' '));
    assert.deepEqual(
      asked.filter((name) => !names.includes(name)),
      [],
    );
    const ids = dashboard.panels.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
  });

  it('docs/control.md has each of them, and no other', () => {
    const told = namesIn(read('docs/control.md').split('\n## Metrics\n')[1]!);
    assert.deepEqual(told.sort(), [...names, 'virtio_media_build_info'].sort());
  });
});
