/**
 * A VMM and its guest in a process of their own, which the test kills. It opens a camera through a socket and streams
 * for ever.
 */

import { GuestDriver } from '../../../src/client/guest-driver.js';
import { Vmm } from '../../../src/client/vmm.js';
import { BufferType } from '../../../src/v4l2/layout.js';
import { GuestQueue } from './guest-queue.js';

const frontEnd = await Vmm.connect(process.argv[2]!);
const driver = await GuestDriver.probe(frontEnd);
const queue = new GuestQueue(driver, await driver.open(), BufferType.VIDEO_CAPTURE);
await queue.setFormat('RGB3', 320, 180);
await queue.setRate(30);
await queue.start(4);
for (;;) {
  await queue.queue((await queue.next()).buffer.index);
  process.stdout.write('a frame\n');
}
