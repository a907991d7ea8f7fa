/** A LateStage for each test of a suite, with a queue of buffers, and a clock that the test moves. */
import assert from 'node:assert/strict';
import { log } from '../../../../src/log.js';
import type { NodeCall } from '../../../../src/native.js';
import { turns, u32 } from '../bench.js';
import { startClock, stopClock } from '../clock.js';
import { type Interruption, LateStage } from './late-stage.js';

const [REQBUFS, STREAMON] = [8, 18];
const ERROR = 0x40;
const CAPTURE = 1;
const [MMAP, USERPTR] = [1, 2];

/** Adds the hooks of a suite. Each new stage is given to `made`, and is closed after the test. */
export function lateSuite(made: (stage: LateStage) => void) {
  let stage: LateStage;
  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  beforeEach(stopClock);
  afterEach(() => {
    stage.close();
    startClock();
  });

  const openStage = async (...options: Parameters<typeof LateStage.open>) => {
    stage = await LateStage.open(...options);
    made(stage);
  };
  /** Opens a stage whose CAPTURE queue has `count` buffers. `host`: the memory types of the driver. */
  const open = async (count: number, memory = MMAP, host: readonly number[] = [MMAP, USERPTR]) => {
    await openStage({ sharedPages: true });
    stage.bench.node.memories = [...host];
    assert.equal((await ioctl(REQBUFS, u32(count, CAPTURE, memory, 0, 0))).status, 0);
  };
  const ioctl = (nr: number, payload: Uint8Array) => stage.bench.ioctl(stage.session, nr, payload);
  const streamOn = async () => {
    assert.equal((await stage.bench.tell(stage.session, STREAMON, u32(CAPTURE))).status, 0);
    await turns();
  };
  /** An ioctl whose answer comes before it is done. */
  const late = (nr: number, payload: Uint8Array, by: Interruption) => {
    stage.slow(isNr(nr));
    return stage.interrupted(stage.request(nr, payload), 8 + payload.length, by);
  };
  /** Index of every frame that has arrived, and whether it is damaged. */
  const frames = () =>
    stage.bench
      .takeEvents()
      .map((event) => [event.readUInt32LE(8), (event.readUInt32LE(20) & ERROR) !== 0] as const);
  /** The driver fills all buffers that it has. */
  const finish = async () => {
    while (stage.bench.node.file.queued.length > 0) stage.bench.node.file.frame();
    await turns(20);
  };
  return { openStage, open, ioctl, streamOn, late, frames, finish };
}

export const isNr = (nr: number) => (call: NodeCall) => 'nr' in call && call.nr === nr;
