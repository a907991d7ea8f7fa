/** QUERYCAP, as `list` and `serve` use it. */
import assert from 'node:assert/strict';
import { failure } from '../../../src/result.js';
import { queryCap } from '../../../src/v4l2/capabilities.js';
import { describeNode, lackOf, lacksOutputOnly } from '../../../src/v4l2/description.js';
import { isUsable, refusalOf } from '../../../src/v4l2/kind.js';
import { success } from '../support/success.js';
import { ENOTTY, FakeNode } from './fake-node.js';

const STREAMING_CAPTURE = 0x0400_0001;
const DEVICE_CAPS = 0x8000_0000;

describe('v4l2/description', () => {
  const both = async (capabilities: number, deviceCaps: number) => {
    const node = new FakeNode({ capabilities, deviceCaps });
    const ask = (nr: number, payload: Uint8Array) => node.ioctl(nr, payload);
    const listed = success(await queryCap(ask));
    const served = success(await describeNode(ask, '/dev/null'));
    return [refusalOf('video', listed.deviceCaps) === undefined, isUsable(served.deviceCaps)];
  };

  it('a driver without V4L2_CAP_DEVICE_CAPS is what its capabilities say, to both', async () => {
    assert.deepEqual(await both(STREAMING_CAPTURE, 0), [true, true]);
  });

  it('a driver with it is what device_caps say, whatever its other nodes can', async () => {
    assert.deepEqual(await both(STREAMING_CAPTURE | DEVICE_CAPS, 0x0100_0001), [false, false]);
    assert.deepEqual(await both(0x0100_0001 | DEVICE_CAPS, STREAMING_CAPTURE), [true, true]);
  });

  it('passes on the errno of what does not know the ioctl', async () => {
    assert.equal(await describeNode(async () => ENOTTY, '/dev/null'), failure(ENOTTY));
  });

  it('lacks what a guest was told and it is no longer, whatever more it is', () => {
    const told = { deviceCaps: 0x0420_0001, deviceType: 0 };
    assert.equal(lackOf(told, told), '');
    assert.equal(lackOf(told, { deviceCaps: 0x0520_0003, deviceType: 0 }), '');
    assert.equal(lackOf(told, { deviceCaps: 0x0520_0002, deviceType: 0 }), 'VIDEO_CAPTURE');
    assert.equal(
      lackOf(told, { deviceCaps: 0x0080_0000, deviceType: 0 }),
      'VIDEO_CAPTURE EXT_PIX_FORMAT STREAMING',
    );
    assert.equal(lackOf(told, { ...told, deviceType: 1 }), 'the type of node');
  });

  it('lacks output only if it lacks nothing else', () => {
    const told = { deviceCaps: 0x0520_0002, deviceType: 0 };
    assert.equal(lacksOutputOnly(told, { deviceCaps: 0x0520_0001, deviceType: 0 }), true);
    assert.equal(lacksOutputOnly(told, { deviceCaps: 0x0020_0001, deviceType: 0 }), false);
    assert.equal(lacksOutputOnly(told, { deviceCaps: 0x0520_0001, deviceType: 1 }), false);
  });
});
