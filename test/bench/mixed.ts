/**
 * `node dist/test/bench/mixed.js [FRAMES] [SEED]`: a mixed stream (test/support/mixed-stream.ts) on the fake node, whose
 * frames are as fast as they go.
 */
import assert from 'node:assert/strict';
import { GuestDriver } from '../../src/client/guest-driver.js';
import { Vmm } from '../../src/client/vmm.js';
import { BufferType } from '../../src/v4l2/layout.js';
import { type DqbufEvent, GuestQueue } from '../lab/support/guest-queue.js';
import { type Content, MixedStream } from '../support/mixed-stream.js';
import { BackEnd } from './back-end.js';
import { serve } from './bench.js';
import { FakeDevice } from './fake-device.js';
import { Numbers } from './numbers.js';
import { buildParts } from './parts.js';

/** The fake writes the number of the frame into its first bytes. */
class NumberedFrames implements Content {
  #expected = 0;

  begin(): void {
    this.#expected = 0;
  }

  look({ buffer: { sequence } }: DqbufEvent, [picture]: readonly Uint8Array[]): void {
    assert.equal(sequence, this.#expected++, 'a frame is missing, or comes twice');
    assert.equal(Buffer.from(picture!).readUInt32LE(), sequence & 0xffff_ffff);
  }
}

/** Returns what was done in between, and how often. Throws if anything is wrong. */
export async function mixedStream(frames: number, seed: number): Promise<Readonly<Record<string, number>>> {
  buildParts();
  const backEnd = await BackEnd.start('ours', new FakeDevice(), '0-1', serve);
  try {
    const vmm = await Vmm.connect(backEnd.socket, { vmm: 'qemu' });
    const driver = await GuestDriver.probe(vmm, { timeout: 20_000 });
    try {
      const session = await driver.open();
      const queue = new GuestQueue(driver, session, BufferType.VIDEO_CAPTURE);
      await queue.setFormat('YUYV', 640, 480);
      const stream = new MixedStream(vmm, queue, new NumberedFrames(), new Numbers(seed));
      await stream.run(frames);
      await driver.close(session);
      assert.deepEqual(driver.complaints, []);
      return stream.done;
    } finally {
      driver.remove();
      vmm.close();
    }
  } finally {
    await backEnd.stop();
  }
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const [frames = '200000', seed = String(Date.now() % 1_000_000)] = process.argv.slice(2);
  const began = performance.now();
  const done = await mixedStream(Number(frames), Number(seed));
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`${frames} frames in ${seconds} s, seed ${seed}, no gap and no wrong frame; in between:`, done);
}
