/** A program of the host that feeds v4l2loopback by write(). */
import assert from 'node:assert/strict';
import { writeSync } from 'node:fs';
import { encoded } from '../../../src/struct.js';
import { Ioctl } from '../../../src/v4l2/ioctls.js';
import { BufferType, event, eventSubscription } from '../../../src/v4l2/layout.js';
import { descriptorsOn } from '../../addon/support/process.js';
import { HostQueue } from './native-mmap-queue.js';
import { NativeNode } from './native-node.js';

/** V4L2_EVENT_PRI_CLIENT_USAGE of v4l2loopback: its 32-bit payload says whether anybody streams from the node. */
const CLIENT_USAGE = 0x0800_0000 + 0x08e0_0000 + 1;
const SEND_INITIAL = 1;

export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

export class LoopbackWriter {
  #read = false;

  private constructor(
    private readonly node: NativeNode,
    /** The descriptor of `node`: the frames go through the file that has the format and the events. */
    private readonly fd: number,
    /** The size of a picture. While somebody has buffers of the node, it is theirs, whatever was asked for. */
    readonly size: PictureSize,
  ) {}

  /** Opens the node and sets YUYV. */
  static async open(path: string, width: number, height: number): Promise<LoopbackWriter> {
    const before = descriptorsOn(path);
    const node = await NativeNode.open(path);
    const fd = descriptorsOn(path).find((each) => !before.includes(each))!;
    const queue = new HostQueue(node, BufferType.VIDEO_OUTPUT);
    await queue.setFormat('YUYV', width, height);
    const usage = encoded(eventSubscription, { type: CLIENT_USAGE, flags: SEND_INITIAL });
    assert.equal((await node.ioctl(Ioctl.SUBSCRIBE_EVENT, usage)).errno, 0);
    return new LoopbackWriter(node, fd, { width: queue.format.width, height: queue.format.height });
  }

  /** Whether anybody streams from the node now. */
  async isRead(): Promise<boolean> {
    const record = Buffer.alloc(event.size);
    while ((await this.node.submit({ kind: 'dequeueEvent', event: record })) === 0)
      this.#read = Buffer.from(event.read(record).u).readUInt32LE() > 0;
    return this.#read;
  }

  /** Writes one frame. */
  write(picture: Uint8Array): void {
    assert.equal(writeSync(this.fd, picture), picture.length);
  }

  close(): Promise<void> {
    return this.node.close();
  }
}
