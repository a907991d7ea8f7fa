/** The lab's machine with systemd: a camera is plugged in and out (../guest/plug.test.ts). */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { relative } from 'node:path';
import { debianPackage } from '../support/debian.js';
import { checkout } from '../support/npm.js';

const SECONDS = 1500;
const NO_MACHINE = 125;

describe('package: plug in, it serves', function () {
  this.timeout(2 * SECONDS * 1000);

  it('in a machine with systemd and udev', function () {
    const debs = [debianPackage(this), debianPackage(this, '0.1.1')].map(
      (path) => `/checkout/${relative(checkout, path)}`,
    );
    const options = ['--systemd', '--timeout', `${SECONDS}`, '--env', `VMB_DEBS=${debs.join(' ')}`];
    const test = ['node', 'node_modules/mocha/bin/mocha.js', 'dist/test/package/guest/plug.test.js'];
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
