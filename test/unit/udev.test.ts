/** The systemd unit: what it may open, and that docs and code agree with it. */
import assert from 'node:assert/strict';
import { ExitCode } from '../../src/cli/exit.js';
import { read } from './support/document.js';

const lines = read('udev/virtio-media-bridge@.service').split('\n');
const valuesOf = (key: string): string[] =>
  lines.filter((line) => line.startsWith(`${key}=`)).map((line) => line.slice(key.length + 1));

describe('udev/virtio-media-bridge@.service', () => {
  it('may open V4L2 nodes and media devices, and no other device', () => {
    assert.deepEqual(valuesOf('DevicePolicy'), ['closed']);
    assert.deepEqual(valuesOf('DeviceAllow'), ['char-video4linux rw', 'char-media rw']);
    assert.deepEqual(valuesOf('PrivateDevices'), []);
  });

  it('is in the group that may read and write both', () => {
    assert.deepEqual(valuesOf('SupplementaryGroups'), ['video']);
  });

  it('says itself when it serves, and is not killed if it is silent for a while', () => {
    assert.deepEqual(valuesOf('Type'), ['notify']);
    assert.deepEqual(valuesOf('TimeoutStartSec'), ['infinity']);
    assert.deepEqual(valuesOf('WatchdogSec'), []);
  });

  it('is not started again after an error that stays', () => {
    const codes = valuesOf('RestartPreventExitStatus').flatMap((value) => value.split(' ').map(Number));
    assert.deepEqual(codes, [ExitCode.USAGE, ExitCode.SYSTEM]);
  });
});
