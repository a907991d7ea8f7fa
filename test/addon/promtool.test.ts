/** What Prometheus' own checker says of the metrics. Debian has it in the package prometheus. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { exposition } from '../../src/metrics/exposition.js';
import { noFrames } from '../../src/v4l2/frame-counters.js';

const PROMTOOL = process.env.VMB_PROMTOOL ?? 'promtool';

describe('metrics: promtool', function () {
  this.timeout(60_000);

  it('promtool check metrics finds nothing', async function () {
    if (spawnSync(PROMTOOL, ['--version']).error) {
      console.error('      skipped: there is no promtool here (VMB_PROMTOOL, or the package prometheus)');
      this.skip();
    }
    const pair = {
      ...{ device: '/dev/video0', card: '', identity: null, socket: null, vmm: null, leaving: 0 },
      ...{ sessions: [], lastFailure: null },
      totals: {
        frames: new Map([[1, noFrames]]),
        commands: new Map([[15, { errors: 0, lastErrno: 0, times: noFrames.latency }]]),
      },
    };
    const { text } = await exposition([pair]);
    const { status, stdout, stderr } = spawnSync(PROMTOOL, ['check', 'metrics'], {
      input: text,
      encoding: 'utf8',
    });
    assert.deepEqual([status, stdout, stderr], [0, '', '']);
  });
});
