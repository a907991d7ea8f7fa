/** An ioctl that the hardware delays for longer than a guest waits: vim2m's jobs can be made that long. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import type { GuestDriver } from '../../src/client/guest-driver.js';
import type { Block } from '../../src/client/heap.js';
import type { Piece } from '../../src/client/pieces.js';
import { Errno } from '../../src/errno.js';
import { ANSWER_DEADLINE_MS } from '../../src/media/policy.js';
import { ioctlCommand, responseHeader } from '../../src/media/protocol.js';
import { encoded } from '../../src/struct.js';
import { control, extControl, extControls } from '../../src/v4l2/control-layout.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferType, buffer as bufferRecord, fmtdesc, Memory } from '../../src/v4l2/layout.js';
import { eventually } from '../addon/support/process.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue, seconds } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { errnoOf, Stage } from './support/stage.js';

const VIM2M = 'vim2m';
const { VIDEO_OUTPUT, VIDEO_CAPTURE } = BufferType;
/** vim2m's "Transaction Time (msec)", set for each open file. */
const TRANSACTION_TIME = 0x0098_1900;
/** Milliseconds, more than the deadline. */
const JOB_MS = 6500;
/** Milliseconds after which the Linux driver gives up. */
const GUEST_PATIENCE_MS = 5000;
const FILL = 0xa5;

/** Number of open files of the driver, including those that the kernel is still closing. */
function openFiles(): number {
  return Number(readFileSync(`/sys/module/${VIM2M}/refcnt`, 'utf8'));
}

async function timed<T>(work: Promise<T>): Promise<{ ms: number; value: T }> {
  const started = performance.now();
  const value = await work;
  return { ms: performance.now() - started, value };
}

describe('lab: the deadline', function () {
  this.timeout(60_000);
  let stage: Stage;
  let driver: GuestDriver;

  before(function () {
    provide(this, VIM2M);
  });
  beforeEach(async () => {
    keepJournal();
    // A Linux guest has only one command under way. Its other commands wait in the guest, not in the bridge.
    stage = await Stage.open(nodeNamed(VIM2M), { lane: { concurrent: true, timeout: 20_000 } });
    driver = stage.driver;
  });
  afterEach(async function () {
    showJournal(this.currentTest);
    await stage.close();
    assert.ok(await eventually(() => openFiles() === 0, 2 * JOB_MS), 'a file is never closed');
  });
  after(() => unload(VIM2M));

  /** The two queues of a converter that takes `ms` milliseconds for each frame. */
  async function converter(ms: number): Promise<{ output: GuestQueue; capture: GuestQueue }> {
    const session = await driver.open();
    await driver.call(session, Ioctl.S_CTRL, control, { id: TRANSACTION_TIME, value: ms });
    const output = new GuestQueue(driver, session, VIDEO_OUTPUT);
    const capture = new GuestQueue(driver, session, VIDEO_CAPTURE);
    for (const queue of [output, capture]) {
      await queue.setFormat('RGBP', 64, 32);
      await queue.request(2);
      await queue.map(0);
    }
    return { output, capture };
  }

  async function convert({ output, capture }: { output: GuestQueue; capture: GuestQueue }): Promise<void> {
    await output.queue(0, { bytesused: 64 * 32 * 2, timestamp: TIMESTAMP });
    await capture.queue(0);
    await output.on();
    await capture.on();
  }

  const works = (session: number) =>
    driver.call(session, Ioctl.ENUM_FMT, fmtdesc, { index: 0, type: VIDEO_CAPTURE });

  /** Sends an ioctl in memory that is never used for anything else, whatever happens to the command. */
  function sendIn(session: number, nr: number, payload: Uint8Array, answers: boolean) {
    const address = driver.heap.allocate(4096, 4096);
    const pieces: Piece[] = [ioctlCommand.size, payload.length, responseHeader.size].map((length, i) => ({
      address: address + i * 1024,
      length,
    }));
    const bytes = (i: number) => driver.heap.ram.view(pieces[i]!.address, pieces[i]!.length);
    const block: Block = { pieces, bytes, release: () => undefined };
    driver.writeIoctl(bytes(0), session, nr);
    bytes(1).set(payload);
    const [command, data, response] = pieces as [Piece, Piece, Piece];
    const answer = driver.transact({
      operation: driver.operation(nr),
      block,
      readable: [command, data],
      writable: answers ? [response, data] : [response],
    });
    const page = driver.heap.ram.view(address, 4096);
    return { answer, page };
  }

  const typeOf = ({ type }: GuestQueue) => {
    const payload = Buffer.alloc(4);
    payload.writeUInt32LE(type);
    return payload;
  };

  it('a converter at its ordinary speed: frames go in and come out, timestamps bit for bit', async () => {
    const queues = await converter(1);
    const { output, capture } = queues;
    const [mapping] = output.mappings.get(0)!;
    const picture = Buffer.from(Uint8Array.from({ length: 64 * 32 * 2 }, (_, i) => (i * 7) % 251));
    driver.window(mapping!.driverAddress, picture.length).set(picture);
    await convert(queues);
    const events = [await driver.nextEvent(output.session), await driver.nextEvent(output.session)];
    const types = events.map((event) => {
      assert.ok(event.kind === 'dqbuf');
      const queue = event.buffer.type === VIDEO_OUTPUT ? output : capture;
      queue.verify(event);
      assert.equal(seconds(event.buffer.timestamp), seconds(TIMESTAMP));
      if (queue === capture)
        assert.ok(picture.equals(capture.bytes(event)[0]!), 'not the picture that went in');
      return event.buffer.type;
    });
    assert.deepEqual(new Set(types), new Set([VIDEO_OUTPUT, VIDEO_CAPTURE]));
    await output.off();
    await capture.off();
    stage.verify();
  });

  it('ETIMEDOUT in time, guest memory left alone, everybody else served, and the session comes back', async () => {
    const other = await driver.open();
    const queues = await converter(JOB_MS);
    const { capture } = queues;
    const { session } = capture;
    await convert(queues);
    const ends = performance.now() + JOB_MS;
    const off = sendIn(session, Ioctl.STREAMOFF, typeOf(capture), false);
    const record = encoded(bufferRecord, { type: VIDEO_CAPTURE, memory: Memory.MMAP });
    const controls = Buffer.concat([
      encoded(extControls, { count: 1, errorIdx: 1 }),
      encoded(extControl, { id: TRANSACTION_TIME }),
    ]);
    const behind = [
      sendIn(session, Ioctl.QUERYBUF, record, true),
      sendIn(session, Ioctl.G_EXT_CTRLS, controls, true),
    ];
    const sent = [off, ...behind];
    const answers = Promise.all(sent.map(({ answer }) => timed(answer)));
    const mean: number[] = [];
    for (let i = 0; i < 20; i++) {
      const ioctl = await timed(works(other));
      const config = await timed(stage.frontEnd.readConfig());
      mean.push(ioctl.ms, config.ms);
    }
    const slowest = Math.max(...mean);
    assert.ok(performance.now() < ends - 1000, 'the machine is too slow for this test');
    assert.ok(slowest < 1000, `another session waited ${slowest.toFixed()} ms`);
    for (const { ms, value } of await answers) {
      assert.equal(value.errno, Errno.ETIMEDOUT);
      assert.ok(ms > ANSWER_DEADLINE_MS - 100 && ms < GUEST_PATIENCE_MS, `answered after ${ms.toFixed()} ms`);
    }
    const refused = (await answers)[2]!.value.payload;
    assert.deepEqual(refused, controls, 'without the record the Linux driver makes EINVAL of it');
    for (const { page } of sent) page.fill(FILL);
    const again = await timed(errnoOf(works(session)));
    assert.equal(again.value, Errno.ETIMEDOUT, 'the hardware still has it');
    assert.ok(again.ms < 1000, 'answered at once');
    const returned = await eventually(async () => (await errnoOf(works(session))) === 0, 2 * JOB_MS);
    assert.ok(returned, 'the session never comes back');
    assert.ok(performance.now() > ends - 500, 'before its job was done');
    for (const { page } of sent)
      assert.ok(
        page.every((byte) => byte === FILL),
        'the guest was written to after its answer',
      );
    console.log(`      the slowest of ${mean.length} answers to others took ${slowest.toFixed()} ms`);
    stage.verify();
  });

  it('CLOSE of a session that hangs is answered in time, and the daemon ends within a second meanwhile', async () => {
    const queues = await converter(JOB_MS);
    await convert(queues);
    const ends = performance.now() + JOB_MS;
    const closed = await timed(driver.close(queues.capture.session));
    const took = `CLOSE took ${closed.ms.toFixed()} ms`;
    assert.ok(closed.ms > ANSWER_DEADLINE_MS - 100 && closed.ms < GUEST_PATIENCE_MS, took);
    stage.verify();
    const stopped = await timed(stage.stopDaemon());
    assert.ok(performance.now() < ends, 'the machine is too slow for this test');
    assert.equal(openFiles(), 1, 'the hardware has let go already');
    assert.ok(stopped.ms < 1000, `stop took ${stopped.ms.toFixed()} ms`);
  });

  it('a VM that is paused meanwhile stands still at once; its command is answered EINTR', async () => {
    const queues = await converter(3000);
    const { capture } = queues;
    await convert(queues);
    const off = sendIn(capture.session, Ioctl.STREAMOFF, typeOf(capture), false);
    const paused = await timed(stage.frontEnd.stop());
    assert.equal((await off.answer).errno, Errno.EINTR);
    off.page.fill(FILL);
    assert.ok(paused.ms < 1000, `the pause took ${paused.ms.toFixed()} ms`);
    await stage.frontEnd.start();
    await works(capture.session);
    assert.ok(off.page.every((byte) => byte === FILL));
    stage.verify();
  });
});

/** A timestamp that no clock returns. */
const TIMESTAMP = Buffer.alloc(16);
TIMESTAMP.writeBigInt64LE(1234n);
TIMESTAMP.writeBigInt64LE(567_890n, 8);
