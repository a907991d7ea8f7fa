import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { type NodeFile, native } from '../../src/native.js';
import { close, openNull, submit } from './support/node-file.js';
import { openDescriptors } from './support/process.js';
import { bufferRecord, control, controlsRecord, u32, u64 } from './support/records.js';

const EBADF = 9;
const EINVAL = 22;
const ENOTTY = 25;

const CAPTURE = 1;
const CAPTURE_MPLANE = 9;
const MMAP = 1;
const DMABUF = 4;
const REQUEST_FD = 0x00800000;
const WHICH_REQUEST = 0x0f010000;

/** Values that are no descriptor. */
const noDescriptors = [null, -1, 0.5, 2 ** 31, '3', 3n, {}, [], true, Number.NaN];

describe('addon: node calls on media requests', () => {
  let file: NodeFile;
  let eventFd: number;
  let closed: number;
  let before: number;

  beforeEach(async () => {
    before = openDescriptors();
    file = await openNull();
    eventFd = native.eventFd();
    closed = native.eventFd();
    closeSync(closed);
  });
  afterEach(async () => {
    await close(file);
    closeSync(eventFd);
    assert.equal(openDescriptors(), before);
  });

  const run = (call: unknown): Promise<number> => submit(file, call);

  for (const [kind, name] of [
    ['allocateRequest', 'media'],
    ['queueRequest', 'request'],
    ['reinitRequest', 'request'],
    ['closeRequest', 'request'],
  ] as const) {
    describe(kind, () => {
      it('wants a descriptor', async () => {
        assert.equal(await run({ kind }), EINVAL);
        for (const wrong of noDescriptors) assert.equal(await run({ kind, [name]: wrong }), EINVAL);
      });

      it('takes the descriptor of the moment of its submission', async () => {
        const done = run({ kind, [name]: closed });
        const next = native.eventFd();
        assert.equal(next, closed, 'the number has another file by now');
        assert.equal(await done, EBADF);
        closeSync(next);
      });

      it('finds a closed descriptor, and none there is', async () => {
        assert.equal(await run({ kind, [name]: closed }), EBADF);
        assert.equal(await run({ kind, [name]: 2 ** 31 - 1 }), EBADF);
      });

      it('leaves every other kind of file alone', async () => {
        const sockets = native.socketPair();
        const own = [
          native.eventFd(),
          ...sockets,
          native.memoryFile('anon_inode:request', 4096),
          ...['/dev/null', '/dev/zero', '/', '/proc/self/maps'].map((path) => openSync(path, 'r')),
        ];
        for (const fd of own) {
          const call = { kind, [name]: fd };
          assert.equal(await run(call), ENOTTY);
          assert.deepEqual(call, { kind, [name]: fd });
          closeSync(fd);
        }
      });

      it('may have its descriptor closed while it is on the lane', async () => {
        const own = native.eventFd();
        const done = run({ kind, [name]: own });
        closeSync(own);
        assert.equal(await done, ENOTTY);
      });

      it('needs an open file, as every call does', async () => {
        await close(file);
        assert.equal(await run({ kind, [name]: eventFd }), EBADF);
      });
    });
  }

  describe('buffer', () => {
    const buffer = (request: unknown, fields: object = {}, rest: object = {}, nr = 15) => {
      const record = bufferRecord({ type: CAPTURE, memory: MMAP, ...fields });
      return { record, call: { kind: 'buffer', nr, buffer: record, request, ...rest } };
    };

    it('is queued to a request; others know none', async () => {
      assert.equal(await run(buffer(eventFd).call), ENOTTY);
      assert.equal(await run(buffer(eventFd, { flags: REQUEST_FD }).call), ENOTTY);
      assert.equal(await run(buffer(undefined).call), ENOTTY);
      assert.equal(await run(buffer(undefined, { flags: REQUEST_FD }).call), EINVAL);
      for (const nr of [9, 93]) assert.equal(await run(buffer(eventFd, {}, {}, nr).call), EINVAL);
    });

    it('wants a descriptor', async () => {
      for (const wrong of noDescriptors) assert.equal(await run(buffer(wrong).call), EINVAL);
      assert.equal(await run(buffer(closed).call), EBADF);
    });

    it('shows no descriptor afterwards, nor a flag that the kernel has not set', async () => {
      for (const flags of [0, 0x4000]) {
        for (const request of [eventFd, closed]) {
          const { record, call } = buffer(request, { flags });
          assert.notEqual(await run(call), 0);
          assert.deepEqual([u32(record, 12), u64(record, 64), u32(record, 80)], [flags, 0n, 0]);
        }
      }
      const { record, call } = buffer(eventFd, { flags: REQUEST_FD });
      assert.equal(await run(call), ENOTTY);
      assert.equal(u32(record, 12), REQUEST_FD);
    });

    it('has DMABUFs beside it: one that is closed is no request', async () => {
      const own = native.memoryFile('dmabuf', 4096);
      // The lowest number that is free: the first duplicate of the other descriptors would get it.
      const free = native.eventFd();
      closeSync(free);
      const planes = new Uint8Array(3 * 64);
      const planar = (request: number, descriptors: number[]) => {
        const fields = { type: CAPTURE_MPLANE, memory: DMABUF, length: 3 };
        return run(buffer(request, fields, { planes, descriptors }).call);
      };
      assert.equal(await planar(eventFd, [own, own, own]), ENOTTY);
      assert.equal(await planar(free, [own, own, own]), EBADF);
      assert.equal(await planar(eventFd, [own, own, free]), EBADF);
      closeSync(own);
    });

    it('may have its request closed while it is on the lane', async () => {
      const own = native.eventFd();
      const done = run(buffer(own).call);
      closeSync(own);
      assert.equal(await done, ENOTTY);
    });
  });

  describe('controls', () => {
    const controls = (request: unknown, which = 0, nr = 72) => {
      const header = controlsRecord(1, which);
      const call = { kind: 'controls', nr, controls: header, array: control(0), payloads: [null], request };
      return { header, call };
    };

    it('are those of a request', async () => {
      for (const nr of [71, 72, 73]) {
        for (const which of [0, WHICH_REQUEST]) {
          const { header, call } = controls(eventFd, which, nr);
          assert.equal(await run(call), ENOTTY);
          assert.deepEqual(
            [u32(header, 0), u32(header, 12), u64(header, 24)],
            [which, 0, 0x1122334455667788n],
          );
        }
      }
      assert.equal(await run(controls(undefined, WHICH_REQUEST).call), EINVAL);
      assert.equal(await run(controls(undefined).call), ENOTTY);
    });

    it('want a descriptor', async () => {
      for (const wrong of noDescriptors) assert.equal(await run(controls(wrong).call), EINVAL);
      const { header, call } = controls(closed, WHICH_REQUEST);
      assert.equal(await run(call), EBADF);
      assert.deepEqual([u32(header, 0), u32(header, 12)], [WHICH_REQUEST, 0]);
    });
  });
});
