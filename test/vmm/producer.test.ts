/** A real QEMU whose guest probes the device of a node that becomes a capture device when a program feeds it. */
import assert from 'node:assert/strict';
import { Errno } from '../../src/errno.js';
import { Capability } from '../../src/v4l2/layout.js';
import { nodeNamed, provide, unload } from '../lab/support/kernel-modules.js';
import { Producer } from '../lab/support/producer.js';
import { errnoOf } from '../lab/support/stage.js';
import { Bridge } from './support/bridge.js';
import { Guest } from './support/guest.js';
import { requires } from './support/host.js';

const LABEL = 'a-fed-camera';
const LOOPBACK = `v4l2loopback devices=1 exclusive_caps=1 card_label=${LABEL}`;
const { VIDEO_CAPTURE, VIDEO_OUTPUT } = Capability;

describe('a node that waits for its producer, in a real QEMU', function () {
  this.timeout(120_000);
  let bridge: Bridge;
  let guest: Guest;
  let producer: Producer | undefined;

  before(async function () {
    requires(this, 'qemu');
    provide(this, LOOPBACK);
    bridge = await Bridge.serve(nodeNamed(LABEL));
    guest = await Guest.boot(bridge.socket);
  });
  after(async () => {
    await producer?.stop();
    await guest?.close();
    await bridge?.close();
    unload(LOOPBACK);
  });

  const told = async () => (await guest.machine.readConfig()).deviceCaps & (VIDEO_CAPTURE | VIDEO_OUTPUT);

  it('is an output to its first driver, and stays one', async () => {
    assert.equal(await told(), VIDEO_OUTPUT);
    await guest.driver.close(await guest.driver.open());
    producer = await Producer.start(nodeNamed(LABEL));
    assert.equal(await told(), VIDEO_OUTPUT);
    assert.equal(await errnoOf(guest.driver.open()), Errno.ENXIO);
  });

  it('is a capture device to the driver after a reset', async () => {
    await guest.machine.reset();
    await guest.reboot();
    assert.equal(await told(), VIDEO_CAPTURE);
    await guest.driver.close(await guest.driver.open());
    assert.deepEqual(guest.driver.complaints, []);
  });

  it('stays one to that driver when the producer leaves', async () => {
    await producer!.stop();
    producer = undefined;
    assert.equal(await told(), VIDEO_CAPTURE);
    assert.equal(await errnoOf(guest.driver.open()), Errno.ENXIO);
    producer = await Producer.start(nodeNamed(LABEL));
    await guest.driver.close(await guest.driver.open());
  });

  it('and QEMU has nothing to complain about', async () => {
    assert.deepEqual(await guest.qemu.quit(), { code: 0, signal: null });
    assert.equal(guest.qemu.program.stderr, '');
  });
});
