/**
 * A fake V4L2 node. It answers ioctls from a description. Its offsets are written by hand from <linux/videodev2.h>,
 * so that a wrong record in src/v4l2 fails a test.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Holders } from '../../../src/v4l2/holders.js';
import type { ProbeFile } from '../../../src/v4l2/survey.js';

export const EACCES = 13;
export const EBUSY = 16;
export const EINVAL = 22;
export const ENOTTY = 25;

export interface FakeFormat {
  fourcc: string;
  description?: string;
  flags?: number;
  /** [width, height, [numerator, denominator] of each interval]. */
  sizes?: [number, number, [number, number][]][];
  /** [minimum, maximum, step] of width and of height. */
  range?: [[number, number, number], [number, number, number]];
}

export interface FakeControl {
  id: number;
  type: number;
  name: string;
  minimum?: bigint;
  maximum?: bigint;
  step?: bigint;
  defaultValue?: bigint;
  flags?: number;
  elements?: number;
  value?: number;
  /** The payload of a compound control. */
  payload?: Buffer;
  /** Index -> name, or number in an integer menu. */
  menu?: Record<number, string | bigint>;
}

export interface FakeDescription {
  openErrno?: number;
  /** undefined: /proc cannot be read. */
  holders?: Holders['holders'];
  driver?: string;
  card?: string;
  capabilities?: number;
  deviceCaps?: number;
  formats?: Record<number, FakeFormat[]>;
  /** Capabilities that REQBUFS returns for every queue. Below 0: an errno. */
  bufferCapabilities?: number;
  /** Memory types that REQBUFS accepts if it returns no capabilities. */
  memory?: number[];
  requestErrno?: number;
  exportErrno?: number;
  controls?: FakeControl[];
  /** The ioctl that is never answered. */
  hangsAt?: number;
  /** Milliseconds until each answer. */
  delay?: number;
}

export class FakeNode implements ProbeFile {
  readonly asked: number[] = [];
  isClosed = false;

  constructor(private readonly description: FakeDescription) {}

  async open(): Promise<number> {
    return this.description.openErrno ?? 0;
  }

  ioctl(nr: number, payload: Uint8Array): Promise<number> {
    this.asked.push(nr);
    if (nr === this.description.hangsAt) return new Promise(() => undefined);
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
    const { delay } = this.description;
    const answer = this.#answers[nr]?.(bytes) ?? ENOTTY;
    return delay === undefined ? Promise.resolve(answer) : sleep(delay, answer);
  }

  async readPayload(id: number, payload: Uint8Array): Promise<number> {
    const found = this.description.controls?.find((control) => control.id === id)?.payload;
    if (found?.length !== payload.length) return EINVAL;
    payload.set(found);
    return 0;
  }

  async holders(): Promise<Holders> {
    const { holders } = this.description;
    if (!holders) throw new Error('there is no /proc');
    return { holders, hidden: false, own: false };
  }

  close(): void {
    this.isClosed = true;
  }

  readonly #answers: Record<number, (bytes: Buffer) => number> = {
    0: (bytes) => this.#capability(bytes),
    2: (bytes) => this.#format(bytes),
    8: (bytes) => this.#requestBuffers(bytes),
    16: () => this.description.exportErrno ?? EINVAL,
    27: (bytes) => this.#value(bytes),
    37: (bytes) => this.#menuItem(bytes),
    74: (bytes) => this.#frameSize(bytes),
    75: (bytes) => this.#frameInterval(bytes),
    103: (bytes) => this.#control(bytes),
  };

  /** struct v4l2_capability: driver 0, card 16, bus_info 48, version 80, capabilities 84, device_caps 88. */
  #capability(bytes: Buffer): number {
    const { driver = 'fake', card = 'Fake Card', deviceCaps = 0 } = this.description;
    bytes.write(driver, 0);
    bytes.write(card, 16);
    bytes.write('platform:fake', 48);
    bytes.writeUInt32LE((this.description.capabilities ?? deviceCaps | 0x80000000) >>> 0, 84);
    bytes.writeUInt32LE(deviceCaps, 88);
    return 0;
  }

  /** struct v4l2_fmtdesc: index 0, type 4, flags 8, description 12, pixelformat 44. */
  #format(bytes: Buffer): number {
    const format = this.description.formats?.[bytes.readUInt32LE(4)]?.[bytes.readUInt32LE(0)];
    if (format === undefined) return EINVAL;
    bytes.writeUInt32LE(format.flags ?? 0, 8);
    bytes.write(format.description ?? format.fourcc, 12);
    bytes.write(format.fourcc, 44);
    return 0;
  }

  /** struct v4l2_requestbuffers: count 0, type 4, memory 8, capabilities 12. */
  #requestBuffers(bytes: Buffer): number {
    const { requestErrno, bufferCapabilities = 0, memory } = this.description;
    if (requestErrno !== undefined) return requestErrno;
    if (bytes.readUInt32LE(0) !== 0) throw new Error('only a count of 0 is harmless');
    if (memory && !memory.includes(bytes.readUInt32LE(8))) return EINVAL;
    bytes.writeUInt32LE(bufferCapabilities, 12);
    return 0;
  }

  #formatNamed(fourcc: string): FakeFormat | undefined {
    const all = Object.values(this.description.formats ?? {}).flat();
    return all.find((format) => format.fourcc === fourcc);
  }

  /**
   * struct v4l2_frmsizeenum: index 0, pixel_format 4, type 8, discrete 12, stepwise 12 (min, max, step; width,
   * height).
   */
  #frameSize(bytes: Buffer): number {
    const format = this.#formatNamed(bytes.toString('latin1', 4, 8));
    const index = bytes.readUInt32LE(0);
    const size = format?.sizes?.[index];
    if (size) {
      bytes.writeUInt32LE(1, 8);
      bytes.writeUInt32LE(size[0], 12);
      bytes.writeUInt32LE(size[1], 16);
      return 0;
    }
    if (!format?.range || index > 0) return EINVAL;
    bytes.writeUInt32LE(3, 8);
    format.range.flat().forEach((value, position) => {
      bytes.writeUInt32LE(value, 12 + 4 * position);
    });
    return 0;
  }

  /**
   * struct v4l2_frmivalenum: index 0, pixel_format 4, width 8, height 12, type 16, discrete 20 (numerator,
   * denominator).
   */
  #frameInterval(bytes: Buffer): number {
    const format = this.#formatNamed(bytes.toString('latin1', 4, 8));
    const size = format?.sizes?.find(
      ([width, height]) => width === bytes.readUInt32LE(8) && height === bytes.readUInt32LE(12),
    );
    const interval = size?.[2][bytes.readUInt32LE(0)];
    if (!interval) return EINVAL;
    bytes.writeUInt32LE(1, 16);
    bytes.writeUInt32LE(interval[0], 20);
    bytes.writeUInt32LE(interval[1], 24);
    return 0;
  }

  /**
   * struct v4l2_query_ext_ctrl: id 0, type 4, name 8, minimum 40, maximum 48, step 56, default_value 64, flags 72,
   * elem_size 76, elems 80.
   */
  #control(bytes: Buffer): number {
    const asked = bytes.readUInt32LE(0);
    if (asked >>> 30 !== 3) throw new Error('both NEXT flags are expected');
    const control = this.description.controls?.find(({ id }) => id > (asked & 0x3fffffff));
    if (!control) return EINVAL;
    bytes.writeUInt32LE(control.id, 0);
    bytes.writeUInt32LE(control.type, 4);
    bytes.write(control.name, 8);
    bytes.writeBigInt64LE(control.minimum ?? 0n, 40);
    bytes.writeBigInt64LE(control.maximum ?? 0n, 48);
    bytes.writeBigInt64LE(control.step ?? 1n, 56);
    bytes.writeBigInt64LE(control.defaultValue ?? 0n, 64);
    bytes.writeUInt32LE(control.flags ?? 0, 72);
    bytes.writeUInt32LE(control.elements ?? 1, 80);
    return 0;
  }

  /** struct v4l2_control: id 0, value 4. */
  #value(bytes: Buffer): number {
    const control = this.description.controls?.find(({ id }) => id === bytes.readUInt32LE(0));
    if (control?.value === undefined) return EINVAL;
    bytes.writeInt32LE(control.value, 4);
    return 0;
  }

  /** struct v4l2_querymenu (packed): id 0, index 4, name or value 8. */
  #menuItem(bytes: Buffer): number {
    const control = this.description.controls?.find(({ id }) => id === bytes.readUInt32LE(0));
    const item = control?.menu?.[bytes.readUInt32LE(4)];
    if (item === undefined) return EINVAL;
    if (typeof item === 'bigint') bytes.writeBigInt64LE(item, 8);
    else bytes.write(item, 8);
    return 0;
  }
}
