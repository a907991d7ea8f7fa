import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import { bufferIoctl } from '../../../src/client/buffer-ioctls.js';
import { Camera } from '../../../src/client/camera.js';
import type { LaneOptions } from '../../../src/client/command-lane.js';
import { controlIoctl } from '../../../src/client/control-ioctls.js';
import { CommandTimeout, DriverError, ProtocolError } from '../../../src/client/driver-error.js';
import { GuestDriver } from '../../../src/client/guest-driver.js';
import { Vmm, type VmmOptions } from '../../../src/client/vmm.js';
import { format, pixFormat } from '../../../src/v4l2/layout.js';
import { type FakeBackend, type FakeOptions, fakeBackend } from './support/fake-backend.js';
import { cameraConfig, FakeCamera } from './support/fake-camera.js';

type Device = NonNullable<FakeOptions['device']>;

/** A response: header with the status, then the payload (bytes, or a number of zero bytes). */
const answer = (status: number, payload: Buffer | number = 0) => {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(status);
  return Buffer.concat([header, typeof payload === 'number' ? Buffer.alloc(payload) : payload]);
};
const words = (...values: number[]) => {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) bytes.writeUInt32LE(value, 4 * i);
  return bytes;
};
/** A DQBUF event for a single-planar buffer. */
const dqbuf = (session: number, type: number, index: number, size = 608) => {
  const event = Buffer.alloc(size);
  words(1, session, index, type).copy(event);
  return event;
};

describe('GuestDriver', () => {
  let backend: FakeBackend;
  let frontEnd: Vmm;
  let driver: GuestDriver;
  /** The readable part of each command, in order. */
  let seen: Buffer[];

  async function start(
    device: Device,
    lane: Partial<LaneOptions> = {},
    options: Partial<VmmOptions> = {},
  ): Promise<void> {
    seen = [];
    const pair = fakeBackend({
      device: (readable, itself) => {
        seen.push(readable);
        return device(readable, itself);
      },
    });
    backend = pair.backend;
    frontEnd = await Vmm.connect(pair.fd, { queueSize: 64, ...options });
    driver = await GuestDriver.probe(frontEnd, lane);
  }

  /** Opens session `id`. `device` gets every command except OPEN. */
  async function open(id: number, device: Device, lane: Partial<LaneOptions> = {}): Promise<void> {
    await start(
      (readable, itself) => (readable.readUInt32LE() === 1 ? words(0, 0, id, 0) : device(readable, itself)),
      lane,
    );
    assert.equal(await driver.open(), id);
    seen.length = 0;
  }

  afterEach(() => {
    frontEnd.close();
    backend.close();
  });

  describe('sends', () => {
    it('OPEN in 8 bytes and CLOSE in 16, without a writable part and with a stale word', async () => {
      await start((readable) => (readable.length === 8 ? words(0, 0, 7, 0) : Buffer.alloc(0)));
      await driver.close(await driver.open());
      assert.deepEqual(seen[0], words(1, 0));
      assert.deepEqual(seen[1]!.subarray(0, 12), words(2, 0, 7));
      assert.notEqual(seen[1]!.readUInt32LE(12), 0);
      assert.equal(seen[1]!.length, 16);
    });

    it('MMAP in 20 bytes and MUNMAP in 16', async () => {
      await start((readable) =>
        readable.length === 20 ? Buffer.concat([words(0, 0, 0x10000, 0, 614400, 0)]) : answer(0),
      );
      assert.deepEqual(await driver.mmap(3, 0x20000), { driverAddress: 0x10000, length: 614400 });
      await driver.mmap(3, 0x30000, false);
      await driver.munmap(0x10000);
      assert.deepEqual(seen, [
        words(4, 0, 3, 1, 0x20000),
        words(4, 0, 3, 0, 0x30000),
        words(5, 0, 0x10000, 0),
      ]);
    });

    it('read-only, write-only and read-write ioctls with the payload where it belongs', async () => {
      const lengths: number[] = [];
      await start((readable) => answer(0, readable.length > 16 && readable.length < 32 ? 0 : 208));
      await driver.ioctl(1, 18, words(1));
      await driver.ioctl(1, 4, words(1));
      lengths.push(...seen.map((bytes) => bytes.length));
      assert.deepEqual(lengths, [20, 224]);
      assert.deepEqual(seen[0], words(3, 0, 1, 18, 1));
    });

    it('a read-write payload as the same memory in both parts', async () => {
      await start(() => undefined, { timeout: 30 });
      backend.rings[0]!.enabled = false;
      const asked = assert.rejects(driver.ioctl(1, 5, words(1)), CommandTimeout);
      await setTimeout(2);
      const chain = backend.takeChain(0)!;
      assert.deepEqual(
        chain.readable.map((piece) => piece.length),
        [16, 208],
      );
      assert.deepEqual(
        chain.writable.map((piece) => piece.length),
        [8, 208],
      );
      assert.equal(chain.readable[1]!.byteOffset, chain.writable[1]!.byteOffset);
      await asked;
    });

    it('G_INPUT as a read-write ioctl, as the Linux driver does', async () => {
      await start(() => answer(0, words(2)));
      assert.deepEqual(await driver.ioctl(1, 38), words(2));
      assert.equal(seen[0]!.length, 20);
    });

    it('buffers with planes and scatter-gather lists, and without lists in the writable part', async () => {
      await open(9, (readable) => answer(0, readable.subarray(16, 16 + 88 + 128)));
      const request = {
        buffer: { index: 3, type: 9, memory: 2 },
        planes: [
          { length: 6000, bytesused: 1 },
          { length: 100, bytesused: 2 },
        ],
        memory: [
          [
            { address: 0x4100_0800, length: 2048 },
            { address: 0x4200_0000, length: 3952 },
          ],
          [{ address: 0x4300_0000, length: 100 }],
        ],
      };
      const { buffer, planes } = await bufferIoctl(driver, 9, 15, request);
      assert.deepEqual([buffer.index, buffer.length], [3, 2]);
      assert.deepEqual(
        planes.map(({ bytesused, length }) => [bytesused, length]),
        [
          [1, 6000],
          [2, 100],
        ],
      );
      const sent = seen[0]!;
      assert.equal(sent.length, 16 + 88 + 2 * 64 + 3 * 16);
      assert.deepEqual(sent.subarray(0, 16), words(3, 0, 9, 15));
      const list = sent.subarray(16 + 88 + 128);
      const entries = [0, 16, 32].map((at) => [Number(list.readBigUInt64LE(at)), list.readUInt32LE(at + 8)]);
      assert.deepEqual(entries, [
        [0x4100_0800, 2048],
        [0x4200_0000, 3952],
        [0x4300_0000, 100],
      ]);
      assert.notEqual(list.readUInt32LE(12), 0, 'the reserved word is stale');
    });

    it('controls in an array of 20-byte records, with payloads in guest memory', async () => {
      await start((readable, itself) => {
        const list = readable.subarray(16 + 32 + 40);
        const slot = itself.slots[0]!;
        const at = Number(list.readBigUInt64LE(0)) - slot.guest + slot.offset;
        const payload = Buffer.from(slot.region.windows[0]!, at, list.readUInt32LE(8));
        assert.equal(payload.toString(), 'before');
        payload.write('after!');
        return answer(0, readable.subarray(16, 16 + 32 + 40));
      });
      const memory = [{ address: driver.heap.allocate(6), length: 6 }];
      const requests = [
        { id: 0x98_0900, value: -5n },
        { id: 0x99_0001, value: 0x7f00_1234n, memory, payload: Buffer.from('before') },
      ];
      const result = await controlIoctl(driver, 1, 72, requests);
      assert.deepEqual(seen[0]!.subarray(16, 32), words(0, 2, 0, 0));
      assert.deepEqual(seen[0]!.subarray(48, 60), words(0x98_0900, 0, 0));
      assert.equal(seen[0]!.readBigInt64LE(60), -5n);
      assert.equal(result.errno, 0);
      assert.equal(result.controls[0]!.value, -5n);
      assert.equal(result.controls[1]!.value, 0x7f00_1234n, 'the pointer came back');
      assert.equal(result.controls[1]!.payload!.toString(), 'after!');
    });

    it('raw bytes', async () => {
      await start(() => Buffer.from('anything'));
      assert.equal((await driver.command(Buffer.from('x'), 5)).toString(), 'anyth');
    });

    it('one command at a time, or several where that is wanted', async () => {
      for (const [concurrent, expected] of [
        [false, 1],
        [true, 3],
      ] as const) {
        await start(() => undefined, { concurrent, timeout: 30 });
        const answers = [1, 2, 3].map(() => assert.rejects(driver.open(), CommandTimeout));
        await setTimeout(15);
        assert.equal(seen.length, expected);
        await Promise.all(answers);
        frontEnd.close();
        backend.close();
      }
    });
  });

  describe('judges answers', () => {
    it('gives the errno of a status with the name of the ioctl and what came along', async () => {
      await start(() => answer(16, Buffer.from('payload')));
      await assert.rejects(driver.ioctl(1, 5, words(1)), (error: Error) => {
        assert.ok(error instanceof DriverError);
        assert.equal(error.message, 'S_FMT: EBUSY');
        assert.equal(error.errno, 16);
        assert.equal(Buffer.from(error.payload).toString(), 'payload');
        return true;
      });
    });

    it('refuses what the Linux driver would misread', async () => {
      const wrong: [string, Buffer][] = [
        ['no header', Buffer.alloc(7)],
        ['a negative errno', answer(0xffffffea)],
        ['an errno beyond MAX_ERRNO', answer(4096)],
        ['a success without its payload', answer(0)],
        ['a success that is cut short', answer(0, 207)],
      ];
      for (const [what, bytes] of wrong) {
        await start(() => bytes);
        await assert.rejects(driver.ioctl(1, 5, words(1)), ProtocolError, what);
        frontEnd.close();
        backend.close();
      }
    });

    it('keeps the errno of controls, and says whether the array came with it', async () => {
      await start((readable) => answer(28, readable.subarray(16, 16 + 52)));
      const echoed = await controlIoctl(driver, 1, 71, [{ id: 1 }]);
      assert.deepEqual([echoed.errno, echoed.echoed, echoed.controls.length], [28, true, 1]);
      frontEnd.close();
      backend.close();
      await start(() => answer(25));
      const bare = await controlIoctl(driver, 1, 71, [{ id: 1 }]);
      assert.deepEqual([bare.errno, bare.echoed], [25, false]);
      frontEnd.close();
      backend.close();
      await start(() => answer(0));
      await assert.rejects(controlIoctl(driver, 1, 71, [{ id: 1 }]), ProtocolError);
    });

    it('gives up after its time, counts what comes later, and goes on', async () => {
      let late: (() => void) | undefined;
      await start(
        async (readable) => {
          if (readable.readUInt32LE(12) === 4) return answer(0, 208);
          await new Promise<void>((resolve) => {
            late = resolve;
          });
          return answer(0);
        },
        { timeout: 300 },
      );
      const available = driver.heap.available;
      await assert.rejects(driver.ioctl(1, 18, words(1)), /STREAMON: ETIMEDOUT \(no answer within 0.3 s\)/);
      assert.equal(driver.lateAnswers, 0);
      late!();
      await setTimeout(10);
      assert.equal(driver.lateAnswers, 1);
      assert.equal(driver.heap.available, available);
      await driver.call(1, 4, format, { type: 1 });
    });

    it('gives up everything when the device breaks the ring', async () => {
      await start(() => undefined);
      const waiting = assert.rejects(driver.open(), /descriptor 77, which it does not hold/);
      await setTimeout(5);
      backend.finish(0, { head: 77, readable: [], writable: [] }, Buffer.alloc(0));
      await waiting;
      assert.equal(driver.complaints.length, 1);
      await assert.rejects(driver.open(), /descriptor 77/);
    });

    it('refuses a chain that the ring cannot hold', async () => {
      await start(() => answer(0), { cutting: [1] }, { vmm: 'crosvm' });
      await assert.rejects(driver.command(Buffer.alloc(64), 8), /a raw command: ENOSPC/);
    });
  });

  describe('receives events', () => {
    const nothing: Device = (readable) =>
      answer(0, readable.subarray(16, 16 + Math.max(0, readable.length - 16)));

    async function queued(): Promise<void> {
      await open(5, nothing);
      for (const index of [0, 1]) await bufferIoctl(driver, 5, 15, { buffer: { index, type: 1, memory: 1 } });
    }

    it('posts 16 buffers of 608 bytes before DRIVER_OK, and each again after use', async () => {
      await queued();
      assert.equal(backend.waiting(1), 16);
      backend.sendEvent(dqbuf(5, 1, 1));
      const event = await driver.nextEvent(5);
      assert.ok(event.kind === 'dqbuf');
      assert.deepEqual([event.buffer.index, event.planes.length], [1, 8]);
      assert.equal(backend.waiting(1), 16);
      assert.equal(driver.postedEvents, 16);
    });

    it('delivers them in order, waiting or handled, across many rounds', async () => {
      await open(5, nothing);
      const ids: number[] = [];
      const event = (id: number) => {
        const bytes = Buffer.alloc(144);
        words(2, 5, 3).copy(bytes);
        bytes.writeUInt32LE(id, 8 + 96);
        return bytes;
      };
      for (let id = 0; id < 10; id++) backend.sendEvent(event(id));
      await setTimeout(5);
      assert.equal(driver.waitingEvents(5), 10);
      driver.onEvent(5, (one) => one.kind === 'event' && ids.push(one.event.id));
      for (let id = 10; id < 100; id++) {
        backend.sendEvent(event(id));
        if (id % 7 === 0) await setTimeout(1);
      }
      await setTimeout(5);
      assert.deepEqual(
        ids,
        Array.from({ length: 100 }, (_, i) => i),
      );
    });

    it('times out, and rejects who waits when the session is closed', async () => {
      await open(5, () => Buffer.alloc(0));
      await assert.rejects(driver.nextEvent(5, 10), CommandTimeout);
      const waiting = assert.rejects(driver.nextEvent(5), /session 5 was closed/);
      await driver.close(5);
      await waiting;
      assert.throws(() => driver.nextEvent(5), /session 5 is not open/);
    });

    it('complains of what the Linux driver drops', async () => {
      await queued();
      for (const event of [dqbuf(5, 1, 0, 96), dqbuf(6, 1, 0), dqbuf(5, 2, 0), words(7, 5), words(1)])
        backend.sendEvent(event);
      await setTimeout(5);
      assert.deepEqual(driver.complaints, [
        'DQBUF event of 96 bytes, 608 are needed',
        'dqbuf event for session 6, which is not open',
        'DQBUF event for buffer 0 of type 2, which is not queued',
        'an event of 8 bytes with number 7',
        'an event of 4 bytes with number -1',
      ]);
    });

    it('complains of a buffer that comes back twice, or after STREAMOFF', async () => {
      await queued();
      backend.sendEvent(dqbuf(5, 1, 0));
      backend.sendEvent(dqbuf(5, 1, 0));
      await setTimeout(5);
      assert.deepEqual(driver.complaints, ['DQBUF event for buffer 0 of type 1, which is not queued']);
      await driver.ioctl(5, 19, words(1));
      backend.sendEvent(dqbuf(5, 1, 1));
      await setTimeout(5);
      assert.equal(driver.complaints[1], 'DQBUF event for buffer 1 of type 1, which is not queued');
    });

    it('complains of an event that overtakes the answer to its QBUF, not of one that follows it', async () => {
      await open(5, (readable, itself) => {
        if (readable.readUInt32LE(16) === 0) itself.sendEvent(dqbuf(5, 1, 0));
        return answer(0, readable.subarray(16, 104));
      });
      await bufferIoctl(driver, 5, 15, { buffer: { index: 0, type: 1, memory: 1 } });
      await setTimeout(5);
      assert.equal(driver.complaints.length, 0, 'both were seen at once: the answer counts as earlier');
      frontEnd.close();
      backend.close();
      await open(5, async (readable, itself) => {
        itself.sendEvent(dqbuf(5, 1, 0));
        await setTimeout(10);
        return answer(0, readable.subarray(16, 104));
      });
      await bufferIoctl(driver, 5, 15, { buffer: { index: 0, type: 1, memory: 1 } });
      assert.equal(driver.complaints.length, 1);
    });

    it('reports EVT_ERROR', async () => {
      await open(5, nothing);
      backend.sendEvent(words(0, 5, 19, 0));
      assert.deepEqual(await driver.nextEvent(5), { kind: 'error', sessionId: 5, errno: 19 });
    });
  });

  describe('works over chains cut at any border', () => {
    for (const dialect of ['qemu', 'crosvm'] as const)
      for (const cutting of [[1], [3], [7], [16, 5], [8, 88], [1000]])
        it(`${cutting} bytes, ${dialect === 'qemu' ? 'indirect' : 'direct'}`, async () => {
          const camera = new FakeCamera();
          const pair = fakeBackend({ config: cameraConfig, device: camera.device });
          backend = pair.backend;
          frontEnd = await Vmm.connect(pair.fd, { vmm: dialect, queueSize: 512 });
          driver = await GuestDriver.probe(frontEnd, { cutting });
          const source = await Camera.open(driver, 1);
          await source.start();
          let frames = 0;
          for await (const frame of source.frames(5)) assert.equal(frame.sequence, frames++);
          assert.equal(frames, 5);
          await source.release();
          assert.deepEqual(driver.complaints, []);
        });
  });

  it('reads and writes records', async () => {
    await start((readable) => answer(0, readable.subarray(16)));
    const fmt = pixFormat.encode({ ...pixFormat.read(new Uint8Array(48)), width: 640 });
    const back = await driver.call(1, 5, format, { type: 1, fmt });
    assert.equal(back.type, 1);
    assert.equal(pixFormat.read(back.fmt).width, 640);
  });

  it('gives all its memory back when it is removed, whatever is in flight', async () => {
    await start(() => undefined);
    const { heap } = frontEnd;
    const waiting = assert.rejects(driver.open(), /removed/);
    await setTimeout(2);
    await frontEnd.reset();
    driver.remove();
    await waiting;
    assert.equal(heap.available, 16 << 20);
    await assert.rejects(driver.open(), /removed/);
  });
});
