import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { type NodeCall, NodeEvents, native } from '../../src/native.js';
import { close, fileMaker, open, submit } from './support/node-file.js';
import { eventually, openDescriptors, threads } from './support/process.js';

const EPERM = 1;
const ENOENT = 2;
const EBADF = 9;
const EBUSY = 16;
const ENODEV = 19;
const EISDIR = 21;
const EINVAL = 22;
const ENOTTY = 25;

interface ResizableBuffer extends ArrayBuffer {
  resize(length: number): void;
}
const Resizable = ArrayBuffer as unknown as new (
  length: number,
  options: { maxByteLength: number },
) => ResizableBuffer;

const queryCap = (): NodeCall => ({ kind: 'ioctl', nr: 0, payload: new Uint8Array(104) });

describe('addon: NodeFile', () => {
  const create = fileMaker();

  describe('open', () => {
    it('gives what the kernel says', async () => {
      assert.equal(await open(create(), '/dev/null'), 0);
      assert.equal(await open(create(), '/nowhere/video0'), ENOENT);
      assert.equal(await open(create(), '/dev/null\0/dev/video0'), EINVAL);
      assert.equal(await open(create(), '/'), EISDIR);
      assert.equal(await open(create(), ''), ENOENT);
    });

    it('opens the file of a descriptor anew, by its path in /proc', async () => {
      const fd = openSync('/dev/null', 'r+');
      const path = `/proc/self/fd/${fd}`;
      const file = create();
      assert.equal(await open(file, path), 0);
      closeSync(fd);
      assert.equal(await submit(file, queryCap()), ENOTTY);
      assert.equal(await open(create(), path), ENOENT);
    });

    it('can be tried again after a failure, and not after success or close', async () => {
      const file = create();
      assert.equal(await open(file, '/nowhere'), ENOENT);
      const opened = open(file);
      assert.equal(await open(file), EBUSY);
      assert.equal(await opened, 0);
      assert.equal(await open(file), EBUSY);
      await close(file);
      assert.equal(await open(file), EBUSY);
    });
  });

  describe('calls', () => {
    it('are EBADF unless the file is open', async () => {
      const file = create();
      assert.equal(await submit(file, queryCap()), EBADF);
      const opened = open(file);
      const behind = submit(file, queryCap());
      assert.equal(await opened, 0);
      assert.equal(await behind, ENOTTY);
      const closed = close(file);
      assert.equal(await submit(file, queryCap()), EBADF);
      await closed;
      assert.equal(await submit(file, queryCap()), EBADF);
    });

    it('reach the kernel, which knows no V4L2 in /dev/null', async () => {
      const file = create();
      await open(file);
      const calls: [NodeCall, number][] = [
        [queryCap(), ENOTTY],
        [{ kind: 'dequeueEvent', event: new Uint8Array(136) }, ENOTTY],
        [{ kind: 'map', offset: 0, length: 4096 }, ENODEV],
        [{ kind: 'watch', events: NodeEvents.IN }, EPERM],
        [
          { kind: 'controls', nr: 71, controls: new Uint8Array(32), array: new Uint8Array(0), payloads: [] },
          ENOTTY,
        ],
      ];
      for (const [call, errno] of calls) assert.equal(await submit(file, call), errno, call.kind);
    });

    it('map the file, and the region outlives it', async () => {
      const fd = native.memoryFile('frames', 8192);
      const file = create();
      assert.equal(await open(file, `/proc/self/fd/${fd}`), 0);
      closeSync(fd);
      const whole: NodeCall = { kind: 'map', offset: 0, length: 8192 };
      assert.equal(await submit(file, whole), 0);
      const half: NodeCall = { kind: 'map', offset: 4096, length: 4096 };
      assert.equal(await submit(file, half), 0);
      await close(file);
      new Uint8Array(whole.region!.windows[0]!)[4096] = 42;
      assert.equal(new Uint8Array(half.region!.windows[0]!)[0], 42);
      assert.ok(whole.region instanceof native.Region);
      whole.region.close();
      half.region!.close();
      assert.equal(half.region!.windows[0]!.byteLength, 0);
    });

    it('complete in the order of submission, on the loop, microtasks in between', async () => {
      const file = create();
      const order: string[] = [];
      file.open('/dev/null', () => {
        order.push('open');
        Promise.resolve().then(() => order.push('microtask of open'));
      });
      for (let i = 0; i < 100; i++) file.submit(queryCap(), () => order.push(`${i}`));
      file.submit({ kind: 'nonsense' } as never, (errno) => order.push(`nonsense ${errno}`));
      file.close(() => order.push('close'));
      file.close(() => order.push('close again'));
      file.submit(queryCap(), (errno) => order.push(`late ${errno}`));
      assert.deepEqual(order, []);
      assert.ok(await eventually(() => order.length === 106));
      const numbers = Array.from({ length: 100 }, (_, i) => `${i}`);
      assert.deepEqual(order, [
        'open',
        'microtask of open',
        ...numbers,
        `nonsense ${EINVAL}`,
        'close',
        'close again',
        `late ${EBADF}`,
      ]);
    });

    it('work on private copies', async () => {
      const file = create();
      await open(file);
      const payload = new Uint8Array(104).fill(0x11);
      const done = submit(file, { kind: 'ioctl', nr: 0, payload });
      payload.fill(0x22);
      await done;
      assert.deepEqual(payload, new Uint8Array(104).fill(0x11));
    });

    describe('that end together are told over turns of the loop', () => {
      /** How many of the results each turn of the loop delivered. */
      const told = async (count: number, call: () => NodeCall): Promise<number[]> => {
        const opened = Array.from({ length: count }, () => create());
        await Promise.all(opened.map((file) => open(file)));
        const turns = [0];
        let left = count;
        for (const file of opened) {
          file.submit(call(), (errno) => {
            assert.equal(errno, ENOTTY);
            turns[turns.length - 1]!++;
            left--;
          });
        }
        // The loop is blocked while the lanes run the calls.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
        for (; left > 0; turns.push(0)) await new Promise(setImmediate);
        return turns;
      };

      it('32 in one', async () => {
        const turns = await told(100, queryCap);
        assert.ok(Math.max(...turns) <= 32, `${turns}`);
      });

      it('one of a megabyte', async () => {
        const turns = await told(16, () => ({
          kind: 'controls',
          nr: 72,
          controls: new Uint8Array(new Uint32Array([0, 1, 0, 0, 0, 0, 0, 0]).buffer),
          array: new Uint8Array(new Uint32Array([0x0098_0900, 1 << 20, 0, 0, 0]).buffer),
          payloads: [new Uint8Array(1 << 20)],
        }));
        assert.equal(Math.max(...turns), 1, `${turns}`);
      });
    });

    it('drop what has nowhere to go', async () => {
      const file = create();
      await open(file);
      const detached = new Uint8Array(104);
      const shrinking = new Uint8Array(new Resizable(104, { maxByteLength: 104 }));
      const calls = [
        submit(file, { kind: 'ioctl', nr: 0, payload: detached }),
        submit(file, { kind: 'ioctl', nr: 0, payload: shrinking }),
      ];
      structuredClone(detached.buffer, { transfer: [detached.buffer] });
      (shrinking.buffer as ResizableBuffer).resize(8);
      assert.deepEqual(await Promise.all(calls), [ENOTTY, ENOTTY]);
      assert.equal(await submit(file, { kind: 'ioctl', nr: 0, payload: detached }), EINVAL);
      assert.equal(await submit(file, { kind: 'ioctl', nr: 0, payload: shrinking }), EINVAL);
    });

    it('may be submitted, and the file closed, inside a completion', async () => {
      const file = create();
      await open(file);
      const order: number[] = [];
      await new Promise<void>((resolve) => {
        file.submit(queryCap(), () => {
          file.submit(queryCap(), (errno) => order.push(errno));
          file.close(() => resolve());
        });
      });
      assert.deepEqual(order, [ENOTTY]);
    });
  });

  describe('close', () => {
    it('may come first, twice, without a callback', async () => {
      const file = create();
      file.close();
      file.close();
      await close(file);
      assert.equal(await open(file), EBUSY);
    });

    it('comes after what is pending', async () => {
      const file = create();
      const opened = open(file);
      const pending = submit(file, queryCap());
      await close(file);
      assert.equal(await opened, 0);
      assert.equal(await pending, ENOTTY);
    });

    it('ends both threads and closes every descriptor', async () => {
      const before = [openDescriptors(), threads()];
      for (let round = 0; round < 1000; round++) {
        const file = new native.NodeFile(() => undefined);
        file.open('/dev/null', () => undefined);
        file.submit(queryCap(), () => undefined);
        await close(file);
      }
      assert.ok(await eventually(() => threads() <= before[1]!));
      assert.equal(openDescriptors(), before[0]);
    }).timeout(60_000);

    it('also of many at the same time', async () => {
      const before = [openDescriptors(), threads()];
      const many = Array.from({ length: 100 }, () => new native.NodeFile(() => undefined));
      await Promise.all(many.map((file) => open(file)));
      assert.ok(threads() >= 200);
      await Promise.all(many.map(close));
      assert.ok(await eventually(() => threads() <= before[1]!));
      assert.equal(openDescriptors(), before[0]);
    });
  });
});
