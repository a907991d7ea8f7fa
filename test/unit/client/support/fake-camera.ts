/**
 * A virtio-media camera of 4 x 2 pixels for a fake back-end. It is single-planar, with frames in SHM region 0 or in
 * guest pages, or it is NM12 with two planes. It writes its bytes with Buffer methods. MJPG: the test has the frames.
 */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { native } from '../../../../src/native.js';
import type { FakeBackend } from './fake-backend.js';
import { fakeDevice, ok, status } from './fake-device.js';

const ENOTTY = 25;
const EINVAL = 22;
const SLOT = 0x1_0000;
const PLANE = 0x8000;
/** Of a compressed format. */
const SIZEIMAGE = 0x8000;
export const WIDTH = 4;
export const HEIGHT = 2;
export const FRAME_BYTES = WIDTH * HEIGHT * 2;
/** Bytes of the luma plane, and of the chroma plane with half the lines. */
const PLANES = [WIDTH * HEIGHT, (WIDTH * HEIGHT) / 2];

export const cameraConfig = Buffer.alloc(40);
cameraConfig.writeUInt32LE(0x0420_0001, 0);
cameraConfig.write('Fake camera', 8);

interface Queued {
  index: number;
  /** Guest-physical address of the frame; undefined: the frame is in SHM region 0. */
  address: number | undefined;
}

/** A frame of a test. It is shorter than sizeimage if it is compressed or damaged. */
interface Sent {
  bytes: Uint8Array;
  flags?: number;
}

export class FakeCamera {
  /** true: the camera delivers no frames. */
  stalled = false;
  /** Flags of every returned buffer. */
  flags = 0;
  /** The frame of a sequence number; undefined: the grey one. */
  frameOf: (sequence: number) => Sent | undefined = () => undefined;
  /** Number and errno of an ioctl that fails from the frame `after` on. */
  refusal: { nr: number; errno: number; after: number } | undefined;
  /** sizeimage of a format with one plane. */
  sizeimage: number;
  /** Numbers of all ioctls, in order. */
  readonly ioctls: number[] = [];
  #session = 6;
  #streaming = false;
  #queued: Queued[] = [];
  #sequence = 0;
  #file: number | undefined;
  #mapped = false;
  readonly fourcc: string;
  readonly multiplanar: boolean;

  constructor(fourcc = 'YUYV') {
    this.fourcc = fourcc;
    this.multiplanar = fourcc === 'NM12';
    this.sizeimage = fourcc === 'MJPG' ? SIZEIMAGE : FRAME_BYTES;
  }

  /** Closes the file with the frames. */
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  readonly device = fakeDevice({
    open: () => ++this.#session,
    ioctl: (nr, payload, backend) => this.#ioctl(nr, payload, backend),
    mmap: (offset, backend) => this.#mmap(offset, backend),
  });

  async #ioctl(nr: number, payload: Buffer, backend: FakeBackend): Promise<Buffer> {
    this.ioctls.push(nr);
    const out = Buffer.from(payload);
    if (this.refusal?.nr === nr && this.#sequence >= this.refusal.after) return status(this.refusal.errno);
    switch (nr) {
      case 2:
        if (payload.readUInt32LE(0) > 0) return status(EINVAL);
        out.write(this.fourcc, 44);
        return ok(out);
      case 4:
      case 5:
      case 64:
        return ok(this.#format(out));
      case 8:
        out.writeUInt32LE(1, 12);
        return ok(out);
      case 9:
        return ok(this.#places(out));
      case 15:
        this.#queued.push({ index: payload.readUInt32LE(0), address: userAddress(payload) });
        this.#deliverSoon(backend);
        return ok(out.subarray(0, this.multiplanar ? 88 + 128 : 88));
      case 18:
        this.#streaming = true;
        this.#deliverSoon(backend);
        return status(0);
      case 19:
        return this.#stop(backend);
      default:
        return status(ENOTTY);
    }
  }

  #format(out: Buffer): Buffer {
    out.writeUInt32LE(WIDTH, 8);
    out.writeUInt32LE(HEIGHT, 12);
    out.write(this.fourcc, 16);
    if (this.multiplanar) {
      for (const [i, size] of PLANES.entries()) {
        out.writeUInt32LE(size, 28 + 20 * i);
        out.writeUInt32LE(WIDTH, 28 + 20 * i + 4);
      }
      out[188] = PLANES.length;
    } else {
      out.writeUInt32LE(WIDTH * 2, 24);
      out.writeUInt32LE(this.sizeimage, 28);
    }
    return out;
  }

  /** QUERYBUF: length and mmap offset of each plane. */
  #places(out: Buffer): Buffer {
    const slot = out.readUInt32LE(0) * SLOT;
    if (!this.multiplanar) {
      out.writeUInt32LE(slot, 64);
      out.writeUInt32LE(this.sizeimage, 72);
      return out;
    }
    for (const [i, size] of PLANES.entries()) {
      out.writeUInt32LE(size, 88 + 64 * i + 4);
      out.writeUInt32LE(slot + i * PLANE, 88 + 64 * i + 8);
    }
    return out;
  }

  /** STREAMOFF. It answers after the driver has processed every event, so all 16 event buffers are posted again. */
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
    answer.writeBigUInt64LE(BigInt(this.multiplanar ? PLANES[(offset / PLANE) & 1]! : this.sizeimage), 16);
    return answer;
  }

  #deliverSoon(backend: FakeBackend): void {
    setTimeout(1).then(() => this.#deliver(backend), assert.fail);
  }

  #deliver(backend: FakeBackend): void {
    if (!this.#streaming || this.stalled || backend.closed) return;
    for (const queued of this.#queued.splice(0)) {
      const sent = this.frameOf(this.#sequence);
      if (sent) this.#copy(queued, backend, sent.bytes);
      else this.#paint(queued, backend);
      const event = Buffer.alloc(608);
      event.writeUInt32LE(1, 0);
      event.writeUInt32LE(this.#session, 4);
      event.writeUInt32LE(queued.index, 8);
      event.writeUInt32LE(this.multiplanar ? 9 : 1, 12);
      event.writeUInt32LE(sent?.flags ?? this.flags, 20);
      event.writeBigInt64LE(BigInt(100 + this.#sequence), 32);
      event.writeUInt32LE(this.#sequence++, 64);
      event.writeUInt32LE(1, 68);
      if (this.multiplanar) for (const [i, size] of PLANES.entries()) event.writeUInt32LE(size, 96 + 64 * i);
      else event.writeUInt32LE(sent?.bytes.length ?? FRAME_BYTES, 16);
      backend.sendEvent(event);
    }
  }

  #copy({ index, address }: Queued, backend: FakeBackend, bytes: Uint8Array): void {
    if (address !== undefined) {
      backend.guest(address, bytes.length).set(bytes);
      return;
    }
    const region = new native.Region(this.#file!, 0, 4 * SLOT);
    Buffer.from(region.windows[0]!, index * SLOT, SLOT).set(bytes);
    region.close();
  }

  /** Writes a grey frame. Its luma is 16 plus the sequence number. */
  #paint({ index, address }: Queued, backend: FakeBackend): void {
    const luma = 16 + this.#sequence;
    if (address !== undefined) {
      paintPacked(backend.guest(address, FRAME_BYTES), luma);
      return;
    }
    const region = new native.Region(this.#file!, 0, 4 * SLOT);
    const slot = Buffer.from(region.windows[0]!, index * SLOT, SLOT);
    if (this.multiplanar) {
      slot.fill(luma, 0, PLANES[0]);
      slot.fill(128, PLANE, PLANE + PLANES[1]!);
    } else paintPacked(slot.subarray(0, FRAME_BYTES), luma);
    region.close();
  }
}

function paintPacked(frame: Buffer, luma: number): void {
  for (let at = 0; at < frame.length; at += 2) frame.writeUInt16LE(0x8000 | luma, at);
}

/** USERPTR: the address in the SG list after the record, which has one entry. undefined: another memory type. */
function userAddress(payload: Buffer): number | undefined {
  return payload.readUInt32LE(60) === 2 ? Number(payload.readBigUInt64LE(88)) : undefined;
}
