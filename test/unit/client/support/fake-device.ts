/** The common part of the fake devices: dispatch of the commandq's commands by number, and their responses. */
import type { FakeBackend } from './fake-backend.js';

const ENOTTY = 25;

export interface FakeCommands {
  /** OPEN: returns the id of the new session. */
  open(): number;
  ioctl(nr: number, payload: Buffer, backend: FakeBackend): Promise<Buffer>;
  mmap(offset: number, backend: FakeBackend): Promise<Buffer> | Buffer;
}

/** The `device` option of a FakeBackend. It answers CLOSE and MUNMAP at once, without a call to the fake. */
export function fakeDevice({ open, ioctl, mmap }: FakeCommands) {
  return async (readable: Buffer, backend: FakeBackend): Promise<Buffer> => {
    switch (readable.readUInt32LE(0)) {
      case 1: {
        const answer = Buffer.alloc(16);
        answer.writeUInt32LE(open(), 8);
        return answer;
      }
      case 2:
        return Buffer.alloc(0);
      case 3:
        return ioctl(readable.readUInt32LE(12), readable.subarray(16), backend);
      case 4:
        return mmap(readable.readUInt32LE(16), backend);
      case 5:
        return status(0);
      default:
        return status(ENOTTY);
    }
  };
}

export function status(errno: number): Buffer {
  const answer = Buffer.alloc(8);
  answer.writeUInt32LE(errno, 0);
  return answer;
}

export function ok(payload: Buffer): Buffer {
  return Buffer.concat([status(0), payload]);
}
