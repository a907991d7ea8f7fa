/**
 * A fake stateful decoder with one session, for a fake back-end. A frame of its stream is two bytes: a width and a
 * value. The decoded frame is `width` x 2 bytes of that value. Drains and resolution changes work as in vicodec.
 */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { native } from '../../../../src/native.js';
import type { FakeBackend } from './fake-backend.js';
import { fakeDevice, ok, status } from './fake-device.js';

export const CODEC_CAPS = 0x0420_8000;
const HEIGHT = 2;
const SLOT = 0x1_0000;
const SLOTS = 32;
const CAPTURE = 1;
const OUTPUT = 2;
const LAST = 0x10_0000;
const ERROR = 0x40;
const EINVAL = 22;
const ENOTTY = 25;
const EBUSY = 16;
const EOS = 2;
const SOURCE_CHANGE = 5;

export class FakeCodec {
  /** Numbers of all ioctls, in order. */
  readonly ioctls: number[] = [];
  /** Values of frames that it cannot decode. */
  readonly broken = new Set<number>();
  /** true: the decoder processes nothing. */
  stalled = false;
  readonly compressed: boolean;
  #width = 0;
  #draining = false;
  #stopped = false;
  #session = 6;
  readonly #on = new Set<number>();
  readonly #queued: Record<number, number[]> = { [CAPTURE]: [], [OUTPUT]: [] };
  readonly #file = native.memoryFile('fake-codec', SLOTS * SLOT);
  #mapped = false;

  /** `compressed`: false makes the device a converter. */
  constructor({ compressed = true } = {}) {
    this.compressed = compressed;
  }

  /** Whether CAPTURE has given its LAST buffer. */
  get hasStopped(): boolean {
    return this.#stopped;
  }

  close(): void {
    closeSync(this.#file);
  }

  readonly device = fakeDevice({
    open: () => ++this.#session,
    ioctl: (nr, payload, backend) => this.#ioctl(nr, payload, backend),
    mmap: (offset, backend) => this.#mmap(offset, backend),
  });

  async #ioctl(nr: number, payload: Buffer, backend: FakeBackend): Promise<Buffer> {
    this.ioctls.push(nr);
    const out = Buffer.from(payload);
    const word = payload.readUInt32LE(0);
    switch (nr) {
      case 2:
        return this.#describe(out);
      case 4:
      case 5:
      case 64:
        return ok(this.#format(out));
      case 8:
        return ok(out);
      case 9:
        out.writeUInt32LE(slotOf(out), 64);
        out.writeUInt32LE(SLOT, 72);
        return ok(out);
      case 15:
        this.#queued[payload.readUInt32LE(4)]!.push(word);
        this.#workSoon(backend);
        return ok(out.subarray(0, 88));
      case 18:
        this.#on.add(word);
        this.#workSoon(backend);
        return status(0);
      case 19:
        return this.#off(word, backend);
      case 90:
        return status(0);
      case 96:
        return this.#command(word, out, backend);
      default:
        return status(ENOTTY);
    }
  }

  #describe(out: Buffer): Buffer {
    if (out.readUInt32LE(0) > 0) return status(EINVAL);
    const coded = out.readUInt32LE(4) === OUTPUT && this.compressed;
    out.writeUInt32LE(coded ? 1 : 0, 8);
    out.write(coded ? 'FWHT' : 'GREY', 44);
    return ok(out);
  }

  #format(out: Buffer): Buffer {
    const coded = out.readUInt32LE(0) === OUTPUT && this.compressed;
    out.writeUInt32LE(this.#width || 4, 8);
    out.writeUInt32LE(HEIGHT, 12);
    out.write(coded ? 'FWHT' : 'GREY', 16);
    out.writeUInt32LE(coded ? Math.max(2, out.readUInt32LE(28)) : (this.#width || 4) * HEIGHT, 28);
    return out;
  }

  async #off(type: number, backend: FakeBackend): Promise<Buffer> {
    this.#on.delete(type);
    this.#queued[type] = [];
    if (type === CAPTURE) {
      this.#draining = false;
      this.#stopped = false;
    }
    while (!backend.closed && backend.waiting(1) < 16) await setTimeout(1);
    return status(0);
  }

  #command(command: number, out: Buffer, backend: FakeBackend): Buffer {
    if (this.#draining && !this.#stopped) return status(EBUSY);
    // The command is ignored if one of the queues does not stream, as in vicodec.
    if (this.#on.size < 2) return ok(out);
    this.#draining = command === 1;
    if (command === 0) this.#stopped = false;
    this.#workSoon(backend);
    return ok(out);
  }

  async #mmap(offset: number, backend: FakeBackend): Promise<Buffer> {
    if (!this.#mapped) await backend.map(this.#file, 0, SLOTS * SLOT);
    this.#mapped = true;
    const answer = Buffer.alloc(24);
    answer.writeBigUInt64LE(BigInt(offset), 8);
    answer.writeBigUInt64LE(BigInt(SLOT), 16);
    return answer;
  }

  #workSoon(backend: FakeBackend): void {
    setTimeout(1).then(() => {
      for (let busy = true; busy && !this.stalled && !backend.closed; ) busy = this.#work(backend);
    }, assert.fail);
  }

  /** Processes one frame, resolution change or drain. Returns whether there may be more to do. */
  #work(backend: FakeBackend): boolean {
    const [frame] = this.#queued[OUTPUT]!;
    if (!this.#on.has(OUTPUT)) return false;
    if (frame === undefined) return this.#drain(backend);
    const [width, value] = this.#read(frame);
    if (!this.compressed) this.#width ||= 4;
    else if (width !== this.#width) return this.#change(width!, backend);
    if (!this.#on.has(CAPTURE) || this.#stopped || this.#queued[CAPTURE]!.length === 0) return false;
    this.#queued[OUTPUT]!.shift();
    const isBroken = this.broken.has(value!);
    if (!isBroken) {
      const index = this.#queued[CAPTURE]!.shift()!;
      this.#bytes(CAPTURE, index, this.#width * HEIGHT).fill(value!);
      this.#give(backend, CAPTURE, index, this.#width * HEIGHT, 0);
    }
    this.#give(backend, OUTPUT, frame, 2, isBroken ? ERROR : 0);
    return true;
  }

  #change(width: number, backend: FakeBackend): boolean {
    const running = this.#on.has(CAPTURE);
    if (running && this.#queued[CAPTURE]!.length === 0) return false;
    this.#width = width;
    this.#tell(backend, SOURCE_CHANGE, 1);
    if (running) this.#give(backend, CAPTURE, this.#queued[CAPTURE]!.shift()!, 0, LAST);
    this.#stopped = running;
    return true;
  }

  #drain(backend: FakeBackend): boolean {
    if (!this.#draining || this.#stopped || this.#queued[CAPTURE]!.length === 0) return false;
    this.#stopped = true;
    this.#tell(backend, EOS, 0);
    this.#give(backend, CAPTURE, this.#queued[CAPTURE]!.shift()!, 0, LAST);
    return false;
  }

  #give(backend: FakeBackend, type: number, index: number, bytesused: number, flags: number): void {
    const event = Buffer.alloc(608);
    for (const [at, value] of [1, this.#session, index, type, bytesused, flags].entries())
      event.writeUInt32LE(value, at * 4);
    event.writeUInt32LE(1, 68);
    backend.sendEvent(event);
  }

  #tell(backend: FakeBackend, type: number, changes: number): void {
    const event = Buffer.alloc(144);
    for (const [at, value] of [2, this.#session, type, 0, changes].entries())
      event.writeUInt32LE(value, at * 4);
    backend.sendEvent(event);
  }

  #read(index: number): number[] {
    return [...this.#bytes(OUTPUT, index, 2)];
  }

  /** Live bytes of a slot. The mapping ends when the view is garbage-collected. */
  #bytes(type: number, index: number, length: number): Buffer {
    const region = new native.Region(this.#file, 0, SLOTS * SLOT);
    return Buffer.from(region.windows[0]!, slot(type, index), length);
  }
}

const slot = (type: number, index: number) => (type === OUTPUT ? index : index + SLOTS / 2) * SLOT;

function slotOf(record: Buffer): number {
  return slot(record.readUInt32LE(4), record.readUInt32LE(0));
}
