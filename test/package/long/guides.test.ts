/** The lab's machine with systemd: the units of docs/guides/ (../guest/guides.test.ts). */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { checkout } from '../support/npm.js';

const SECONDS = 600;
const NO_MACHINE = 125;

describe('package: the units of the guides', function () {
  this.timeout(2 * SECONDS * 1000);

  it('serve in a machine with systemd', () => {
    const options = ['--systemd', '--timeout', `${SECONDS}`];
    const test = ['node', 'node_modules/mocha/bin/mocha.js', 'dist/test/package/guest/guides.test.js'];
    const { status, stdout, stderr } = spawnSync('test/lab/run.sh', [...options, '--', ...test], {
      cwd: checkout,
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    });
    console.log(stdout.trimEnd());
    assert.notEqual(status, NO_MACHINE, stderr);
    assert.equal(status, 0, stderr);
  });
});
