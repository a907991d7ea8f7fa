/** Two real QEMUs that connect to the same socket. */
import assert from 'node:assert/strict';
import { nodeNamed, provide } from '../lab/support/kernel-modules.js';
import { Bridge } from './support/bridge.js';
import type { Capture } from './support/capture.js';
import { Guest } from './support/guest.js';
import { requires, VIVID, VIVID_NODE } from './support/host.js';
import { freeWithin } from './support/node-claim.js';
import { BUFFERS, inOrder, startStream, takeFrames } from './support/streaming.js';

const RATE = 20;
const FREE_MS = 3000;

describe('a second real QEMU on the same socket', function () {
  this.timeout(120_000);
  let camera: string;
  let bridge: Bridge;
  let guest: Guest;
  let capture: Capture;

  before(async function () {
    requires(this, 'qemu');
    provide(this, VIVID);
    camera = nodeNamed(VIVID_NODE);
    bridge = await Bridge.serve(camera, '--shm-size', '256M');
    guest = await Guest.boot(bridge.socket);
    capture = await startStream(guest, RATE);
  });

  after(async () => {
    await guest?.close();
    await bridge?.close();
  });

  it('is refused while the first is there, whose stream loses nothing', async () => {
    const before = await takeFrames(capture, BUFFERS);
    for (let attempt = 0; attempt < 2; attempt++) {
      const reader = takeFrames(capture, BUFFERS);
      await assert.rejects(Guest.boot(bridge.socket), /QEMU ended \(1\)|QEMU has closed/);
      before.push(...(await reader));
    }
    inOrder(before);
    assert.match(bridge.program.stderr, /a second front-end was refused/);
    assert.equal(guest.qemu.program.stderr, '');
    assert.deepEqual(guest.driver.complaints, []);
  });

  for (const [end, how] of [
    ['quit', () => guest.qemu.quit()],
    ['been killed', () => guest.qemu.program.kill()],
  ] as const)
    it(`is served as soon as the first has ${end}`, async () => {
      await how();
      await guest.close();
      guest = await Guest.boot(bridge.socket);
      capture = await startStream(guest, RATE);
      await takeFrames(capture, BUFFERS);
      assert.equal(guest.qemu.program.stderr, '');
    });

  it('and nothing is left of either', async () => {
    await guest.close();
    await freeWithin(camera, FREE_MS);
    assert.deepEqual(await bridge.stop(1000), { code: 0, signal: null });
  });
});
