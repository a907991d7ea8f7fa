/** A virtio-media camera of 4 x 2 pixels YUYV behind a fake back-end: the bytes are written by hand. */
import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import { native } from '../../../src/native.js';
import type { FakeBackend } from './fake-backend.js';

const ENOTTY = 25;
const EINVAL = 22;
const SLOT = 0x1_0000;
export const WIDTH = 4;
export const HEIGHT = 2;
export const FRAME_BYTES = WIDTH * HEIGHT * 2;

export const cameraConfig = Buffer.alloc(40);
cameraConfig.writeUInt32LE(0x0420_0001, 0);
cameraConfig.write('Fake camera', 8);

export class FakeCamera {
  /** Frames are withheld. */
  stalled = false;
  /** Every ioctl number in order. */
  readonly ioctls: number[] = [];
  #session = 6;
  #streaming = false;
  #queued: number[] = [];
  #sequence = 0;
  #file: number | undefined;
  #mapped = false;
  readonly fourcc: string;

  constructor(fourcc = 'YUYV') {
    this.fourcc = fourcc;
  }

  readonly device = async (readable: Buffer, backend: FakeBackend): Promise<Buffer> => {
    switch (readable.readUInt32LE(0)) {
      case 1: {
        const answer = Buffer.alloc(16);
        answer.writeUInt32LE(++this.#session, 8);
        return answer;
      }
      case 2:
        return Buffer.alloc(0);
      case 3:
        return this.#ioctl(readable.readUInt32LE(12), readable.subarray(16), backend);
      case 4:
        return this.#mmap(readable.readUInt32LE(16), backend);
      case 5:
        return Buffer.alloc(8);
      default:
        return status(ENOTTY);
    }
  };

  async #ioctl(nr: number, payload: Buffer, backend: FakeBackend): Promise<Buffer> {
    this.ioctls.push(nr);
    const out = Buffer.from(payload);
    switch (nr) {
      case 2:
        if (payload.readUInt32LE(0) > 0) return status(EINVAL);
        out.write(this.fourcc, 44);
        return ok(out);
      case 4:
      case 5:
      case 64:
        out.writeUInt32LE(WIDTH, 8);
        out.writeUInt32LE(HEIGHT, 12);
        out.write(this.fourcc, 16);
        out.writeUInt32LE(WIDTH * 2, 24);
        out.writeUInt32LE(FRAME_BYTES, 28);
        return ok(out);
      case 8:
        out.writeUInt32LE(1, 12);
        return ok(out);
      case 9:
        out.writeUInt32LE(payload.readUInt32LE(0) * SLOT, 64);
        out.writeUInt32LE(FRAME_BYTES, 72);
        return ok(out);
      case 15:
        this.#queued.push(payload.readUInt32LE(0));
        setTimeout(1).then(() => this.#deliver(backend), assert.fail);
        return ok(out);
      case 18:
        this.#streaming = true;
        setTimeout(1).then(() => this.#deliver(backend), assert.fail);
        return status(0);
      case 19:
        return this.#stop(backend);
      default:
        return status(ENOTTY);
    }
  }

  /** Answers only when the driver has processed every event that was sent. */
  async #stop(backend: FakeBackend): Promise<Buffer> {
    this.#streaming = false;
    this.#queued = [];
    while (!backend.closed && backend.waiting(1) < 16) await setTimeout(1);
    return status(0);
  }

  async #mmap(offset: number, backend: FakeBackend): Promise<Buffer> {
    this.#file ??= native.memoryFile('fake-camera', 4 * SLOT);
    if (!this.#mapped) await backend.map(this.#file, 0, 4 * SLOT);
    this.#mapped = true;
    const answer = Buffer.alloc(24);
    answer.writeBigUInt64LE(BigInt(offset), 8);
    answer.writeBigUInt64LE(BigInt(FRAME_BYTES), 16);
    return answer;
  }

  #deliver(backend: FakeBackend): void {
    if (!this.#streaming || this.stalled || backend.closed) return;
    for (const index of this.#queued.splice(0)) {
      this.#paint(index);
      const event = Buffer.alloc(608);
      event.writeUInt32LE(1, 0);
      event.writeUInt32LE(this.#session, 4);
      event.writeUInt32LE(index, 8);
      event.writeUInt32LE(1, 12);
      event.writeUInt32LE(FRAME_BYTES, 16);
      event.writeBigInt64LE(BigInt(100 + this.#sequence), 32);
      event.writeUInt32LE(this.#sequence++, 64);
      event.writeUInt32LE(1, 68);
      backend.sendEvent(event);
    }
  }

  /** A grey frame whose brightness is the sequence number. */
  #paint(index: number): void {
    const region = new native.Region(this.#file!, 0, 4 * SLOT);
    const frame = Buffer.from(region.windows[0]!, index * SLOT, FRAME_BYTES);
    for (let at = 0; at < FRAME_BYTES; at += 2) frame.writeUInt16LE(0x8000 | (16 + this.#sequence), at);
    region.close();
  }
}

function status(errno: number): Buffer {
  const answer = Buffer.alloc(8);
  answer.writeUInt32LE(errno, 0);
  return answer;
}

function ok(payload: Buffer): Buffer {
  return Buffer.concat([status(0), payload]);
}
