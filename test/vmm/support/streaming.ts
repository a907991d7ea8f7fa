/** A stream of vivid's colour bars in a guest, and checks of its frames. */
import assert from 'node:assert/strict';
import type { BufferRecord } from '../../../src/client/event-lane.js';
import { Capture } from './capture.js';
import type { Guest } from './guest.js';
import { colourBars, difference, rgb3 } from './test-pattern.js';
import { BARS_100, Control, Movement, Text } from './vivid.js';

/** QEMU's vhost-user table has room for six mappings besides the RAM's two regions. */
export const BUFFERS = 4;
const [WIDTH, HEIGHT] = [320, 240];

export async function startStream(guest: Guest, rate: number): Promise<Capture> {
  const program = await Capture.open(guest);
  await program.setControl(Control.TEST_PATTERN, BARS_100);
  await program.setControl(Control.OSD_TEXT_MODE, Text.NONE);
  await program.setControl(Control.HORIZONTAL_MOVEMENT, Movement.NONE);
  await program.setFormat(WIDTH, HEIGHT, rgb3.fourcc);
  await program.setRate(rate);
  await program.request(BUFFERS);
  await program.start();
  const { index } = await program.next();
  const seen = await program.read(index);
  const expected = colourBars(rgb3, WIDTH, HEIGHT);
  assert.ok(seen.equals(expected), difference(seen, expected));
  await program.queue(index);
  return program;
}

/**
 * Checks that the buffers come in turn: none was lost on the way, none came twice. vivid gives a number twice if it
 * needed longer than half a period for a picture.
 */
export function inOrder(frames: readonly BufferRecord[]): void {
  for (const [at, { index, sequence }] of frames.entries()) {
    const before = frames[at - 1];
    if (!before) continue;
    assert.equal(index, (before.index + 1) % BUFFERS, 'a buffer out of turn');
    assert.ok(sequence >= before.sequence, `frame ${sequence} after ${before.sequence}`);
  }
}

/** Takes frames and gives their buffers back. */
export async function takeFrames(capture: Capture, count: number): Promise<BufferRecord[]> {
  const taken: BufferRecord[] = [];
  while (taken.length < count) {
    const buffer = await capture.next();
    taken.push(buffer);
    await capture.queue(buffer.index);
  }
  return taken;
}
