/** The systemd unit: what it may open, and that docs and code agree with it. */
import assert from 'node:assert/strict';
import { ExitCode } from '../../src/cli/exit.js';
import { read } from './support/document.js';

const valuesIn = (unit: string, key: string): string[] =>
  read(`udev/${unit}`)
    .split('\n')
    .filter((line) => line.startsWith(`${key}=`))
    .map((line) => line.slice(key.length + 1));
const valuesOf = (key: string): string[] => valuesIn('virtio-media-bridge@.service', key);

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
    assert.deepEqual(codes, [ExitCode.USAGE, ExitCode.SYSTEM, ExitCode.CONFIG]);
  });

  it('takes options of all instances, then those of its own, and needs none', () => {
    assert.deepEqual(valuesOf('EnvironmentFile'), [
      '-/etc/virtio-media-bridge/default.env',
      '-/etc/virtio-media-bridge/%i.env',
    ]);
    assert.match(valuesOf('ExecStart')[0]!, / --device \/dev\/%i .* \$VMB_OPTIONS$/);
  });

  it('is not bound to its device: QEMU aborts when its back-end ends', () => {
    assert.deepEqual(valuesOf('BindsTo'), []);
  });
});

describe('udev/virtio-media-bridge-plugged@.target', () => {
  const own = 'virtio-media-bridge@%i.socket virtio-media-bridge@%i.service';

  it('is bound to the device, and starts and stops what it wants with it', () => {
    const value = (key: string) => valuesIn('virtio-media-bridge-plugged@.target', key);
    assert.deepEqual([value('BindsTo'), value('After')], [['dev-%i.device'], ['dev-%i.device']]);
    assert.deepEqual([value('Wants'), value('PropagatesStopTo')], [[own], [own]]);
  });
});
