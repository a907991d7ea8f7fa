/** A USB camera of a guest in a shuffle of faults. The link of by-id, which udev would make, follows the camera. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Errno } from '../../../src/errno.js';
import { control } from '../../../src/v4l2/control-layout.js';
import { Ioctl } from '../../../src/v4l2/ioctls.js';
import { BufferFlag } from '../../../src/v4l2/layout.js';
import { eventually } from '../../addon/support/process.js';
import { Binding } from './binding.js';
import { GuestQueue } from './guest-queue.js';
import { isUnloaded } from './kernel-modules.js';
import type { ShuffledGuest } from './shuffled-guest.js';
import { errnoOf } from './stage.js';
import { UsbCamera } from './usb-camera.js';
import { verifyYuy2 } from './usb-camera-frame.js';

export const CAMERA_LINK = '/dev/v4l/by-id/usb-virtio-media-bridge_Camera_1-video-index0';
const [WIDTH, HEIGHT, BUFFERS] = [320, 180, 4];
const BRIGHTNESS = 0x0098_0900;

export class ShuffledCamera {
  #guest!: ShuffledGuest;
  #queue!: GuestQueue;
  #port = 0;

  private constructor(private camera: UsbCamera) {}

  static async plugIn(context: Mocha.Context): Promise<ShuffledCamera> {
    const shuffled = new ShuffledCamera(await UsbCamera.plugIn(context));
    mkdirSync(dirname(CAMERA_LINK), { recursive: true });
    shuffled.#link();
    return shuffled;
  }

  async end(): Promise<void> {
    rmSync(CAMERA_LINK, { force: true });
    await this.camera.end();
  }

  /** Opens a session and streams. */
  async begin(guest: ShuffledGuest): Promise<void> {
    const { driver } = guest;
    this.#guest = guest;
    this.#queue = GuestQueue.ofCamera(driver, await driver.open());
    await this.#queue.setFormat('YUYV', WIDTH, HEIGHT);
    await this.#queue.start(BUFFERS);
    await this.#goodFrames(2);
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

  async unplug(): Promise<void> {
    rmSync(CAMERA_LINK);
    await this.camera.unplug();
  }

  async replug(): Promise<void> {
    await this.camera.replug();
    this.#link();
  }

  async moveToOtherPort(): Promise<void> {
    await this.unplug();
    await this.camera.takeAway();
    this.#port = 1 - this.#port;
    this.camera = await UsbCamera.plugInBeside('--port', `${this.#port}`);
    this.#link();
  }

  /** uvcvideo keeps the camera until its last file is closed, and cannot be bound before. */
  async rebind(): Promise<void> {
    const binding = new Binding(this.camera.node);
    await binding.unbind();
    await this.leave();
    assert.ok(await eventually(() => !existsSync(this.camera.node), 5000), 'the node outlives its driver');
    await binding.bind();
    assert.ok(
      await eventually(() => existsSync(this.camera.node), 5000),
      'no node after the driver was bound',
    );
  }

  async reloadDriver(): Promise<void> {
    await this.leave();
    assert.ok(await eventually(() => isUnloaded('uvcvideo'), 5000), 'the daemon still has the camera open');
    UsbCamera.loadDriver();
    assert.ok(
      await eventually(() => existsSync(this.camera.node), 5000),
      'no node after the driver was loaded',
    );
  }

  /** Whoever makes the pictures stops for a while. */
  async fallSilent(): Promise<void> {
    await this.#tell('no-frames');
    await sleep(300);
    await this.camera.heal();
  }

  async damage(how: 'short-frames' | 'damaged-frames'): Promise<void> {
    await this.#tell(how);
    let damaged = 0;
    for (let n = 0; n < 2 * BUFFERS && damaged === 0; n++) {
      const { buffer } = await this.#queue.next();
      if (buffer.flags & BufferFlag.ERROR) damaged++;
      await this.#queue.queue(buffer.index);
    }
    assert.ok(damaged > 0, 'no frame says that it is damaged');
    await this.camera.heal();
  }

  async slowControl(): Promise<void> {
    await this.#tell('delay 300');
    assert.equal(await this.#setBrightness(), 0);
    await this.camera.heal();
  }

  async hungControl(): Promise<void> {
    await this.#tell('silent');
    assert.equal(await this.#setBrightness(), Errno.ETIMEDOUT);
    await this.camera.heal();
  }

  #setBrightness(): Promise<number> {
    const { driver, session } = this.#queue;
    return errnoOf(driver.call(session, Ioctl.S_CTRL, control, { id: BRIGHTNESS, value: 3 }));
  }

  async #tell(fault: string): Promise<void> {
    assert.equal(await this.camera.tell(fault), 'ok');
  }

  async #goodFrames(count: number): Promise<void> {
    for (let n = 0; n < count; n++) {
      const frame = await this.#queue.next();
      assert.equal(frame.buffer.flags & BufferFlag.ERROR, 0, 'a damaged frame');
      verifyYuy2(this.#queue.bytes(frame)[0]!, WIDTH * HEIGHT * 2);
      await this.#queue.queue(frame.buffer.index);
    }
  }

  #link(): void {
    rmSync(CAMERA_LINK, { force: true });
    symlinkSync(this.camera.node, CAMERA_LINK);
  }
}
