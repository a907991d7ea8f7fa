/** A node that a producer feeds, for a guest in a shuffle of faults: v4l2loopback with exclusive_caps=1. */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readImageFormat } from '../../../src/client/image-format.js';
import { Errno } from '../../../src/errno.js';
import { encoded } from '../../../src/struct.js';
import { holdersOf } from '../../../src/v4l2/holders.js';
import { Ioctl } from '../../../src/v4l2/ioctls.js';
import { BufferType, Capability, format } from '../../../src/v4l2/layout.js';
import { eventually } from '../../addon/support/process.js';
import { GuestQueue } from './guest-queue.js';
import { isUnloaded, nodeNamed, provide, unload } from './kernel-modules.js';
import type { PictureSize } from './loopback-writer.js';
import { verifyPicture } from './numbered-picture.js';
import { Producer } from './producer.js';
import type { ShuffledGuest } from './shuffled-guest.js';
import { errnoOf } from './stage.js';

const LABEL = 'a-shuffled-loopback';
const BUFFERS = 4;
const LOOPBACK = `v4l2loopback devices=1 exclusive_caps=1 max_buffers=${BUFFERS} card_label=${LABEL}`;
/** It gets each in turn, so it always comes back with another number. */
const NUMBERS = [40, 41];
const SIZES: readonly PictureSize[] = [
  { width: 320, height: 180 },
  { width: 640, height: 360 },
];
const PROCESS = fileURLToPath(new URL('producer-process.js', import.meta.url));
const { VIDEO_CAPTURE, VIDEO_OUTPUT } = Capability;

export class ShuffledLoopback {
  #guest!: ShuffledGuest;
  #queue!: GuestQueue;
  #producer!: Producer;
  #loads = 0;
  /** Index in SIZES. */
  #size = 0;

  private constructor(private readonly context: Mocha.Context) {}

  static async load(context: Mocha.Context): Promise<ShuffledLoopback> {
    const shuffled = new ShuffledLoopback(context);
    shuffled.#load();
    await shuffled.#feed();
    return shuffled;
  }

  get node(): string {
    return nodeNamed(LABEL);
  }

  async end(): Promise<void> {
    await this.#producer.stop();
    unload(LOOPBACK);
  }

  /** Opens a session and streams. */
  async begin(guest: ShuffledGuest): Promise<void> {
    const { driver } = guest;
    this.#guest = guest;
    this.#queue = new GuestQueue(driver, await driver.open(), BufferType.VIDEO_CAPTURE);
    await this.#start();
  }

  /** The program in the guest ends, whatever state its session is in. */
  async leave(): Promise<void> {
    await this.#guest.kill(this.#queue.session);
  }

  /** A new session streams, every byte of its frames is right, and everything is given back. */
  async prove(guest: ShuffledGuest): Promise<void> {
    await this.begin(guest);
    await this.#goodFrames(BUFFERS);
    await this.#queue.off();
    await this.#queue.release();
    await this.leave();
  }

  /** The stream falls silent, and goes on with the next producer. */
  async pauseProducer(): Promise<void> {
    await this.#starve();
    await this.#feed();
    await this.#goodFrames(2 * BUFFERS);
  }

  /** A producer is killed, and the next one comes. */
  async killProducer(): Promise<void> {
    await this.#producer.stop();
    const child = fork(PROCESS, [this.node]);
    await once(child, 'message');
    await this.#goodFrames(2 * BUFFERS);
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    await this.#feed();
    await this.#goodFrames(2 * BUFFERS);
  }

  /** As long as a program has buffers, v4l2loopback gives every producer the size of these. */
  async resizeInStream(): Promise<void> {
    const size = this.#producer.size;
    await this.#producer.stop();
    this.#producer = await Producer.start(this.node, this.#otherSize());
    assert.deepEqual(this.#producer.size, size);
    await this.#goodFrames(2 * BUFFERS);
    await this.#producer.stop();
    await this.leave();
    await this.#unmapped();
    await this.#feed();
  }

  /** The program gives its buffers back, and streams the size of the next producer in the same session. */
  async resizeInSession(): Promise<void> {
    await this.#producer.stop();
    await this.#queue.off();
    await this.#queue.release();
    this.#otherSize();
    await this.#unmapped();
    await this.#feed();
    await this.#start();
  }

  /** Without a producer, another program in the guest cannot open the node. */
  async openWithoutProducer(): Promise<void> {
    await this.#starve();
    await this.#isRefused(Errno.ENXIO);
    await this.leave();
    await this.#isRefused(Errno.ENXIO);
    await this.#feed();
  }

  /** `renew`: what brings the guest's next driver, which is told what the node is without a producer. */
  async renewWithoutProducer(renew: () => Promise<void>): Promise<void> {
    await this.#producer.stop();
    await renew();
    assert.equal(await this.#told(), VIDEO_OUTPUT);
    // The files of the sessions that have ended are closed after the reset is answered.
    assert.ok(await eventually(() => this.#isReleased(), 5000), 'somebody still has the node open');
    await this.#feed();
    await this.#isRefused(Errno.ENXIO);
    await renew();
    assert.equal(await this.#told(), VIDEO_CAPTURE);
  }

  async shortFrames(): Promise<void> {
    const bytes = this.#producer.halve();
    let short = 0;
    for (let n = 0; n < 4 * BUFFERS && short < BUFFERS; n++)
      if ((await this.#pictureBytes()) === bytes) short++;
    assert.equal(short, BUFFERS, 'frames do not say how short they are');
    this.#producer.heal();
  }

  /** It comes back with another number, and without a producer at first. */
  async reloadDriver(): Promise<void> {
    await this.#producer.stop();
    await this.leave();
    assert.ok(await eventually(() => isUnloaded(LOOPBACK), 5000), 'the daemon still has the node open');
    await this.#isRefused(Errno.ENODEV);
    this.#load();
    await this.#isRefused(Errno.ENXIO);
    await this.#feed();
  }

  /** No producer, and the program has taken what there was. */
  async #starve(): Promise<void> {
    await this.#producer.stop();
    await sleep(100);
    const { driver, session } = this.#queue;
    while (driver.waitingEvents(session) > 0) await this.#pictureBytes();
    await sleep(300);
    assert.equal(driver.waitingEvents(session), 0, 'events without a producer');
  }

  async #start(): Promise<void> {
    const told = await this.#queue.ioctl(Ioctl.G_FMT, encoded(format, { type: BufferType.VIDEO_CAPTURE }));
    const { width, height } = readImageFormat(told, false);
    assert.deepEqual({ width, height }, this.#producer.size);
    await this.#queue.setFormat('YUYV', width, height);
    await this.#queue.start(BUFFERS);
    await this.#goodFrames(2);
  }

  async #feed(): Promise<void> {
    this.#producer = await Producer.start(this.node, SIZES[this.#size]!);
    assert.deepEqual(this.#producer.size, SIZES[this.#size]);
  }

  /** From now on every producer has the other size. */
  #otherSize(): PictureSize {
    this.#size = 1 - this.#size;
    return SIZES[this.#size]!;
  }

  #load(): void {
    provide(this.context, `${LOOPBACK} video_nr=${NUMBERS[this.#loads++ % NUMBERS.length]}`);
  }

  async #isRefused(errno: number): Promise<void> {
    assert.equal(await errnoOf(this.#guest.driver.open()), errno);
  }

  /** Whether nobody has the node open. */
  async #isReleased(): Promise<boolean> {
    const { holders, own } = await holdersOf(statSync(this.node).rdev);
    return holders.length === 0 && !own;
  }

  /**
   * Resolves when nobody has buffers mapped. The bridge removes its mappings on a thread of their own, a moment after the
   * guest has given the buffers back, and v4l2loopback takes no other size before.
   */
  async #unmapped(): Promise<void> {
    const { rdev } = statSync(this.node);
    const isUnmapped = async () => (await holdersOf(rdev)).holders.every(({ maps }) => !maps);
    assert.ok(await eventually(isUnmapped, 5000), 'somebody still has buffers mapped');
  }

  /** Whether the guest's driver was told that the node captures or sends. */
  async #told(): Promise<number> {
    const { deviceCaps } = await this.#guest.frontEnd.readConfig();
    return deviceCaps & (VIDEO_CAPTURE | VIDEO_OUTPUT);
  }

  async #goodFrames(count: number): Promise<void> {
    const { width, height } = this.#producer.size;
    for (let n = 0; n < count; n++) assert.equal(await this.#pictureBytes(), width * height * 2);
  }

  /** Takes the next frame and queues its buffer again. Returns how many bytes it has, after a check of each. */
  async #pictureBytes(): Promise<number> {
    const frame = await this.#queue.next();
    const picture = this.#queue.bytes(frame)[0]!;
    verifyPicture(picture);
    await this.#queue.queue(frame.buffer.index);
    return picture.length;
  }
}
