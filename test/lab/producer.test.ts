/**
 * A node that is what its producer makes of it: v4l2loopback with exclusive_caps=1 is an output until a program feeds
 * it, and a capture device as long as one does. A guest's driver registers its node once, at its probe.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Errno } from '../../src/errno.js';
import { BufferType, Capability } from '../../src/v4l2/layout.js';
import { eventually } from '../addon/support/process.js';
import { journalled, keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { FRAME_BYTES, HEIGHT, Producer, WIDTH } from './support/producer.js';
import { CLI, enter, ServeProcess } from './support/serve-process.js';
import { errnoOf, onStage, type Stage } from './support/stage.js';

const LABEL = 'a-fed-camera';
const LOOPBACK = `v4l2loopback devices=1 exclusive_caps=1 max_buffers=4 card_label=${LABEL}`;
const { VIDEO_CAPTURE, VIDEO_OUTPUT } = Capability;
const SOCKET = '/tmp/vmb-lab-producer.sock';

describe('lab: a node that waits for its producer', function () {
  this.timeout(30_000);
  let path: string;
  let producer: Producer | undefined;

  before(function () {
    provide(this, LOOPBACK);
    path = nodeNamed(LABEL);
  });
  beforeEach(keepJournal);
  afterEach(async function () {
    showJournal(this.currentTest);
    await rest();
    rmSync(SOCKET, { force: true });
  });
  after(() => unload(LOOPBACK));

  async function feed(): Promise<void> {
    producer = await Producer.start(path);
  }
  async function rest(): Promise<void> {
    await producer?.stop();
    producer = undefined;
  }

  /** What a guest that is there now can capture, or send. */
  const kindOf = (deviceCaps: number) => deviceCaps & (VIDEO_CAPTURE | VIDEO_OUTPUT);
  const told = async ({ frontEnd }: Stage) => kindOf((await frontEnd.readConfig()).deviceCaps);
  const openErrno = ({ driver }: Stage) => errnoOf(driver.open());

  async function streams({ driver }: Stage): Promise<void> {
    const queue = new GuestQueue(driver, await driver.open(), BufferType.VIDEO_CAPTURE);
    await queue.setFormat('YUYV', WIDTH, HEIGHT);
    await queue.start(4);
    const { buffer } = await queue.next();
    assert.equal(buffer.bytesused, FRAME_BYTES);
    await queue.off();
    await queue.release();
    await driver.close(queue.session);
  }

  it('served before its producer: the next VMM gets what the node is by then', () =>
    onStage(path, {}, async (stage) => {
      assert.equal(await told(stage), VIDEO_OUTPUT);
      stage.leave();
      await feed();
      await stage.enter();
      assert.equal(await told(stage), VIDEO_CAPTURE);
      await streams(stage);
    }));

  it('served before its producer: a guest that resets the device gets what the node is by then', () =>
    onStage(path, {}, async (stage) => {
      assert.equal(await told(stage), VIDEO_OUTPUT);
      await feed();
      await stage.reset();
      assert.equal(await told(stage), VIDEO_CAPTURE);
      await streams(stage);
    }));

  it('a VMM that waits for its guest shows the guest the node of that moment', () =>
    onStage(path, {}, async (stage) => {
      stage.leave();
      await stage.connect();
      assert.equal(await told(stage), VIDEO_OUTPUT);
      await feed();
      await sleep(1000);
      assert.equal(await told(stage), VIDEO_CAPTURE);
      await stage.probe();
      await rest();
      await sleep(1000);
      assert.equal(await told(stage), VIDEO_CAPTURE, 'what a driver was told stays');
    }));

  it('the producer stops: ENXIO, said once, until there is one again', async () => {
    await feed();
    await onStage(path, {}, async (stage) => {
      await streams(stage);
      for (let absence = 1; absence <= 2; absence++) {
        await rest();
        for (let attempt = 0; attempt < 3; attempt++) assert.equal(await openErrno(stage), Errno.ENXIO);
        const lines = journalled('a guest cannot open the node (ENXIO)');
        assert.equal(lines.length, absence, lines.join('\n'));
        assert.match(lines.at(-1)!, /VIDEO_CAPTURE.*waits for a producer/);
        await feed();
        await streams(stage);
      }
    });
  });

  it('the guest was told that it is an output: ENXIO while it is a capture device', () =>
    onStage(path, {}, async (stage) => {
      assert.equal(await told(stage), VIDEO_OUTPUT);
      await feed();
      for (let attempt = 0; attempt < 3; attempt++) assert.equal(await openErrno(stage), Errno.ENXIO);
      assert.equal(journalled('VIDEO_OUTPUT').length, 1);
      await rest();
      await stage.driver.close(await stage.driver.open());
    }));

  it('a guest that feeds the node itself opens it as often as it likes', () =>
    onStage(path, {}, async ({ driver }) => {
      const queue = new GuestQueue(driver, await driver.open(), BufferType.VIDEO_OUTPUT);
      await queue.setFormat('YUYV', WIDTH, HEIGHT);
      await queue.start(4);
      await driver.close(await driver.open());
      await queue.off();
      await queue.release();
      await driver.close(queue.session);
    }));

  it('--wait: serves from the moment when the node can be captured from', async () => {
    const words = ['--device', path, '--socket-path', SOCKET, '--wait'];
    const server = ServeProcess.begin(words);
    try {
      const waits = () => server.stderr.includes('waits for a producer');
      assert.ok(await eventually(waits, 20_000), server.stderr);
      await sleep(1000);
      assert.equal(server.stdout, '');
      await feed();
      assert.ok(await eventually(() => server.stdout.includes('is served on'), 5000), server.stderr);
      for (const isFed of [true, false]) {
        if (!isFed) await rest();
        const { frontEnd } = await enter(SOCKET);
        assert.equal(kindOf((await frontEnd.readConfig()).deviceCaps), VIDEO_CAPTURE, `${isFed}`);
        frontEnd.close();
      }
    } finally {
      assert.equal(await server.stop(), 0);
    }
    assert.equal(server.stderr.match(/waits for a producer/g)?.length, 1, server.stderr);
  });

  it('--wait: ends when it is asked to, while it waits', async () => {
    const server = ServeProcess.begin(['--device', path, '--socket-path', SOCKET, '--wait']);
    const waits = () => server.stderr.includes('waits for a producer');
    assert.ok(await eventually(waits, 20_000), server.stderr);
    assert.equal(await server.stop(), 0);
    assert.equal(server.stdout, '');
  });

  it('list says that it waits for a producer, and no longer when it has one', async () => {
    const list = async () => (await promisify(execFile)(process.execPath, [CLI, 'list'])).stdout;
    assert.match(await list(), new RegExp(`${path}: .*waits for a producer`));
    await feed();
    assert.doesNotMatch(await list(), /waits for a producer/);
  });
});
