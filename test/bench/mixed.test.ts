/** A stream as fast as it goes, with everything else that a guest does in between (mixed.ts), on the fake node. */
import assert from 'node:assert/strict';
import { answers } from './answers.js';
import { mixedStream } from './mixed.js';
import { parts } from './parts.js';
import { requireParts } from './requirements.js';

const FRAMES = Number(process.env.VMB_MIXED_FRAMES ?? 4000);
const COMMANDS = 500;

describe('a stream that threads and the loop share', function () {
  this.timeout(60_000 + 20 * FRAMES);

  before(function () {
    requireParts(this);
  });

  it('has no gap and no wrong frame', async () => {
    const seed = Date.now() % 1_000_000;
    const done = await mixedStream(FRAMES, seed).catch((error: Error) => {
      throw new Error(`seed ${seed}: ${error.message}`, { cause: error });
    });
    const kinds = Object.keys(done).filter((name) => !name.startsWith('ended'));
    assert.equal(kinds.length, 12, `everything was done: ${JSON.stringify(done)}`);
  });

  it('answers the same commands alike each time', async () => {
    const once = await answers(parts.daemon, COMMANDS, 5);
    assert.ok(once.length >= COMMANDS);
    assert.ok(new Set(once.map((line) => line.split(': ')[1])).size > 20, 'all answers are alike');
    assert.deepEqual(await answers(parts.daemon, COMMANDS, 5), once);
  });
});
