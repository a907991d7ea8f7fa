import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type NodeCall, NodeEvents, type NodeFile, native } from '../../src/native.js';
import { eventually, openDescriptors, threads } from './process.js';

const EPERM = 1;
const ENOENT = 2;
const EBADF = 9;
const EBUSY = 16;
const ENODEV = 19;
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
  const files: NodeFile[] = [];
  const create = (onReady: (events: number) => void = () => undefined): NodeFile => {
    const file = new native.NodeFile(onReady);
    files.push(file);
    return file;
  };
  const open = (file: NodeFile, path: string | number = '/dev/null'): Promise<number> =>
    new Promise((resolve) => file.open(path, resolve));
  const submit = (file: NodeFile, call: NodeCall): Promise<number> =>
    new Promise((resolve) => file.submit(call, resolve));
  const close = (file: NodeFile): Promise<void> => new Promise((resolve) => file.close(resolve));

  afterEach(async () => {
    for (const file of files.splice(0)) await close(file);
  });

  describe('open', () => {
    it('gives what the kernel says', async () => {
      assert.equal(await open(create(), '/dev/null'), 0);
      assert.equal(await open(create(), '/nowhere/video0'), ENOENT);
      assert.equal(await open(create(), '/dev/null\0/dev/video0'), EINVAL);
      assert.equal(await open(create(), 1_000_000), EBADF);
      assert.equal(await open(create(), -1), EBADF);
    });

    it('duplicates a descriptor at once', async () => {
      const fd = openSync('/dev/null', 'r+');
      const file = create();
      const opened = open(file, fd);
      closeSync(fd);
      assert.equal(await opened, 0);
      assert.equal(file.run(queryCap()), ENOTTY);
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
      assert.equal(file.run(queryCap()), EBADF);
      assert.equal(await submit(file, queryCap()), EBADF);
      const opened = open(file);
      assert.equal(file.run(queryCap()), EBADF);
      const behind = submit(file, queryCap());
      assert.equal(await opened, 0);
      assert.equal(file.run(queryCap()), ENOTTY);
      assert.equal(await behind, ENOTTY);
      const closed = close(file);
      assert.equal(file.run(queryCap()), EBADF);
      assert.equal(await submit(file, queryCap()), EBADF);
      await closed;
      assert.equal(file.run(queryCap()), EBADF);
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
      for (const [call, errno] of calls) {
        assert.equal(file.run(call), errno, `run ${call.kind}`);
        assert.equal(await submit(file, call), errno, `submit ${call.kind}`);
      }
    });

    it('map the file, and the region outlives it', async () => {
      const fd = native.memoryFile('frames', 8192);
      const file = create();
      assert.equal(await open(file, fd), 0);
      closeSync(fd);
      const inline: NodeCall = { kind: 'map', offset: 0, length: 8192 };
      assert.equal(file.run(inline), 0);
      const submitted: NodeCall = { kind: 'map', offset: 4096, length: 4096 };
      assert.equal(await submit(file, submitted), 0);
      await close(file);
      new Uint8Array(inline.region!.windows[0]!)[4096] = 42;
      assert.equal(new Uint8Array(submitted.region!.windows[0]!)[0], 42);
      assert.ok(inline.region instanceof native.Region);
      inline.region.close();
      submitted.region!.close();
      assert.equal(submitted.region!.windows[0]!.byteLength, 0);
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
      assert.equal(file.run({ kind: 'ioctl', nr: 0, payload: detached }), EINVAL);
      assert.equal(file.run({ kind: 'ioctl', nr: 0, payload: shrinking }), EINVAL);
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

  describe('readiness', () => {
    const eventFd = native.eventFd;

    it('is reported once an edge, for what is watched', async () => {
      const fd = eventFd();
      const seen: number[] = [];
      const file = create((events) => seen.push(events));
      assert.equal(await open(file, fd), 0);
      native.signal(fd);
      await sleep(20);
      assert.deepEqual(seen, []);
      assert.equal(file.run({ kind: 'watch', events: NodeEvents.IN }), 0);
      assert.ok(await eventually(() => seen.length === 1));
      await sleep(20);
      assert.deepEqual(seen, [NodeEvents.IN]);
      native.signal(fd);
      assert.ok(await eventually(() => seen.length === 2));
      assert.equal(await submit(file, { kind: 'watch', events: NodeEvents.PRI }), 0);
      native.signal(fd);
      await sleep(20);
      assert.equal(seen.length, 2);
      await close(file);
      closeSync(fd);
    });

    it('comes after the completions that were there before it', async () => {
      const fd = eventFd();
      const order: string[] = [];
      const file = create(() => order.push('ready'));
      file.open(fd, () => order.push('open'));
      file.submit({ kind: 'watch', events: NodeEvents.OUT }, () => order.push('watch'));
      assert.ok(await eventually(() => order.length === 3));
      assert.deepEqual(order, ['open', 'watch', 'ready']);
      await close(file);
      closeSync(fd);
    });

    it('is silent after close was called', async () => {
      const fd = eventFd();
      let calls = 0;
      const file = create(() => calls++);
      await open(file, fd);
      file.run({ kind: 'watch', events: NodeEvents.IN | NodeEvents.OUT });
      const closed = close(file);
      native.signal(fd);
      await closed;
      await sleep(10);
      assert.equal(calls, 0);
      closeSync(fd);
    });

    it('is told at once by poll: a peer that has hung up, and nothing else', async () => {
      const [a, b] = native.socketPair();
      const file = create();
      await open(file, a);
      const poll = async () => {
        const call: NodeCall & { kind: 'poll' } = { kind: 'poll' };
        assert.equal(file.run(call), 0);
        const { ready } = call;
        assert.equal(await submit(file, call), 0);
        assert.equal(call.ready, ready);
        return ready;
      };
      native.send(b, Buffer.from('x'), []);
      assert.equal(await poll(), 0, 'data is not asked for');
      closeSync(b);
      assert.equal(((await poll()) ?? 0) & NodeEvents.HUP, NodeEvents.HUP);
      closeSync(a);
    });

    it('ends with the file even where others hold the descriptor', async () => {
      const [a, b] = native.socketPair();
      let calls = 0;
      const file = create(() => calls++);
      await open(file, a);
      file.run({ kind: 'watch', events: NodeEvents.IN });
      await close(file);
      const before = calls;
      native.send(b, Buffer.from('x'), []);
      await sleep(10);
      assert.equal(calls, before);
      closeSync(a);
      closeSync(b);
    });
  });
});
