/** Memory of a queue's frames: in SHM region 0 (MMAP), or in the guest's own RAM (USERPTR, "SHARED_PAGES"). */
import { Errno } from '../errno.js';
import { isMultiplanar } from '../v4l2/buffer-type.js';
import { Ioctl } from '../v4l2/ioctls.js';
import { Memory, requestBuffers } from '../v4l2/layout.js';
import { type BufferRequest, bufferIoctl } from './buffer-ioctls.js';
import { CommandTimeout, DriverError, ProtocolError } from './driver-error.js';
import type { GuestDriver } from './guest-driver.js';
import type { ImageFormat } from './image-format.js';
import type { Piece } from './pieces.js';

export interface FrameMemory {
  /** Buffers of the queue. */
  readonly count: number;
  /** The records of QBUF for buffer `index`. */
  request(index: number): BufferRequest;
  /** Live bytes of a plane. `offset` and `length` in bytes. */
  bytes(index: number, plane: number, offset: number, length: number): Uint8Array;
  /** Frees the buffers. The queue must not stream. */
  release(): Promise<void>;
}

/** The queue that the memory belongs to. */
export interface Queue {
  readonly driver: GuestDriver;
  readonly sessionId: number;
  readonly type: number;
}

/** REQBUFS. Resolves to the number of buffers. The DriverError of a refusal says what is wrong with the format, if it is. */
async function request(queue: Queue, memory: number, count: number, format: ImageFormat): Promise<number> {
  const { driver, sessionId, type } = queue;
  try {
    const answer = await driver.call(sessionId, Ioctl.REQBUFS, requestBuffers, { count, type, memory });
    return answer.count;
  } catch (error) {
    if (!(error instanceof DriverError) || error instanceof CommandTimeout || count === 0) throw error;
    const { operation, errno, payload } = error;
    throw new DriverError(operation, errno, payload, whyRefused(format, errno));
  }
}

function whyRefused({ fourcc, width, height, planes }: ImageFormat, errno: number): string {
  const sizes = planes.map(({ sizeimage }) => sizeimage);
  if (errno !== Errno.ENOMEM && !sizes.includes(0)) return '';
  return `sizeimage of ${fourcc} ${width}x${height} is ${sizes.join(' + ')} bytes`;
}

interface Mapped {
  readonly driverAddress: number;
  readonly length: number;
}

/**
 * Allocates MMAP buffers and maps every plane of them into SHM region 0. The device may allocate more or fewer than
 * `wanted`. Throws DriverError, ProtocolError.
 */
export async function mmapMemory(queue: Queue, format: ImageFormat, wanted: number): Promise<FrameMemory> {
  const { driver, sessionId, type } = queue;
  const count = await request(queue, Memory.MMAP, wanted, format);
  const multiplanar = isMultiplanar(type);
  const buffers: Mapped[][] = [];
  const none = multiplanar ? { planes: format.planes.map(() => ({})) } : {};
  for (let index = 0; index < count; index++) {
    const record = { index, type, memory: Memory.MMAP };
    const answer = await bufferIoctl(driver, sessionId, Ioctl.QUERYBUF, { buffer: record, ...none });
    const places = multiplanar ? answer.planes : [answer.buffer];
    const planes: Mapped[] = [];
    for (const { m, length } of places) {
      const mapping = await driver.mmap(sessionId, offsetOf(m));
      if (mapping.length < length)
        throw new ProtocolError(`MMAP gave ${mapping.length} bytes for a plane of ${length}`);
      planes.push(mapping);
    }
    buffers.push(planes);
  }
  return {
    count,
    request: (index) => ({ buffer: { index, type, memory: Memory.MMAP }, ...none }),
    bytes: (index, plane, offset, length) =>
      driver.window(buffers[index]![plane]!.driverAddress + offset, length),
    release: async () => {
      for (const { driverAddress } of buffers.flat()) await driver.munmap(driverAddress);
      await request(queue, Memory.MMAP, 0, format);
    },
  };
}

/**
 * Allocates USERPTR buffers, with every plane in guest RAM. QBUF gives the device their SG lists. Throws DriverError,
 * and RangeError if the guest RAM is used up.
 */
export async function userMemory(queue: Queue, format: ImageFormat, wanted: number): Promise<FrameMemory> {
  const { driver, type } = queue;
  const count = await request(queue, Memory.USERPTR, wanted, format);
  const buffers: Piece[][] = [];
  for (let index = 0; index < count; index++)
    buffers.push(
      format.planes.map(({ sizeimage }) => ({
        address: driver.heap.allocate(sizeimage, PAGE_SIZE),
        length: sizeimage,
      })),
    );
  return {
    count,
    request: (index) => {
      const planes = buffers[index]!;
      const record = { index, type, memory: Memory.USERPTR };
      const memory = planes.map((plane) => [plane]);
      const named = planes.map(({ address, length }) => ({ m: pointer(address), length }));
      if (isMultiplanar(type)) return { buffer: record, planes: named, memory };
      return { buffer: { ...record, ...named[0]! }, memory };
    },
    bytes: (index, plane, offset, length) =>
      driver.heap.ram.view(buffers[index]![plane]!.address + offset, length),
    release: async () => {
      await request(queue, Memory.USERPTR, 0, format);
      for (const { address } of buffers.flat()) driver.heap.release(address);
    },
  };
}

const PAGE_SIZE = 4096;

/** The mmap offset: m.offset of a buffer, m.mem_offset of a plane. */
function offsetOf(m: Uint8Array): number {
  return Buffer.from(m).readUInt32LE();
}

/** m.userptr: an address in the application. The device must return it unchanged. */
function pointer(address: number): Buffer {
  const m = Buffer.alloc(8);
  m.writeBigUInt64LE(BigInt(address) + 0x7f00_0000_0000n);
  return m;
}
