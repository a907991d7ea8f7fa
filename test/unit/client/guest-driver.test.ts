/** The guest driver: what it sends, over chains of any shape, and what it gives back. The back-end is a FAKE. */
import assert from 'node:assert/strict';
import { bufferIoctl } from '../../../src/client/buffer-ioctls.js';
import { Camera } from '../../../src/client/camera.js';
import { controlIoctl } from '../../../src/client/control-ioctls.js';
import { CommandTimeout } from '../../../src/client/driver-error.js';
import type { GuestDriver } from '../../../src/client/guest-driver.js';
import type { Vmm } from '../../../src/client/vmm.js';
import { format, pixFormat } from '../../../src/v4l2/layout.js';
import { settle, until } from '../../support/until.js';
import { answer, driverSuite, words } from './support/driver-suite.js';
import type { FakeBackend } from './support/fake-backend.js';
import { cameraConfig, FakeCamera } from './support/fake-camera.js';

describe('GuestDriver', () => {
  let backend: FakeBackend;
  let frontEnd: Vmm;
  let driver: GuestDriver;
  /** The readable part of each command, in order. */
  let seen: Buffer[];
  const { connect, start, open } = driverSuite((driven) => {
    ({ backend, frontEnd, driver, seen } = driven);
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
      await until(() => backend.waiting(0) > 0);
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
        await start(() => undefined, { concurrent });
        const answers = [1, 2, 3].map(() => assert.rejects(driver.open(), /removed/));
        await until(() => seen.length >= expected);
        await settle();
        assert.equal(seen.length, expected);
        driver.remove();
        await Promise.all(answers);
        frontEnd.close();
        backend.close();
      }
    });
  });

  describe('works over chains cut at any border', () => {
    for (const vmm of ['qemu', 'crosvm'] as const)
      for (const cutting of [[1], [3], [7], [16, 5], [8, 88], [1000]])
        it(`${cutting} bytes, ${vmm === 'qemu' ? 'indirect' : 'direct'}`, async () => {
          const camera = new FakeCamera();
          const device = { config: cameraConfig, device: camera.device };
          await connect(device, { vmm, queueSize: 512 }, { cutting });
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
    await until(() => seen.length > 0);
    await frontEnd.reset();
    driver.remove();
    await waiting;
    assert.equal(heap.available, 16 << 20);
    await assert.rejects(driver.open(), /removed/);
  });
});
