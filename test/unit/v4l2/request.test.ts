/** Media requests. sysfs and /dev are fakes in a temporary folder; the file is a fake whose requests are /dev/null. */
import assert from 'node:assert/strict';
import { closeSync, fstatSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeCall } from '../../../src/native.js';
import { failure, isFailure } from '../../../src/result.js';
import {
  MediaFile,
  mediaDevices,
  openMedia,
  type RequestCaller,
  RequestPool,
  requestNeed,
  requiresRequests,
} from '../../../src/v4l2/media-request.js';
import { openDescriptors } from '../../addon/support/process.js';
import { success } from '../support/success.js';
import { FakeNode } from './fake-node.js';
import { fakeSysfs } from './support/fake-sysfs.js';

const ENOENT = 2;
const EINTR = 4;
const EBADF = 9;
const ENOMEM = 12;
const EBUSY = 16;
const ENODEV = 19;
const EINVAL = 22;
const EMFILE = 24;
const ENOTTY = 25;

describe('v4l2/request', () => {
  describe('the media device of a node', () => {
    const { sysfs, put, link } = fakeSysfs();

    /** /dev/null (1:3) stands for the node. */
    function addNode(...media: string[]): void {
      const device = 'sys/devices/platform/decoder';
      put(`${device}/video4linux/video7/uevent`, 'MAJOR=1\nMINOR=3\n');
      link(`${device}/video4linux/video7/device`, '../..');
      link('sys/dev/char/1:3', '../../devices/platform/decoder/video4linux/video7');
      for (const name of media) {
        put(`${device}/${name}/uevent`, `MAJOR=244\nMINOR=0\nDEVNAME=${name}\n`);
        put(`dev/${name}`, name);
      }
    }

    async function opened(): Promise<number> {
      return success(await openMedia('/dev/null', sysfs.roots));
    }

    it('is found and opened', async () => {
      addNode('media3');
      assert.deepEqual(await mediaDevices('/dev/null', sysfs.roots), [join(sysfs.root, 'dev/media3')]);
      const fd = await opened();
      assert.equal(fstatSync(fd).size, 'media3'.length);
      closeSync(fd);
    });

    it('is found by a link to the node', async () => {
      addNode('media3');
      link('by-id/decoder', '/dev/null');
      assert.deepEqual(await mediaDevices(join(sysfs.root, 'by-id/decoder'), sysfs.roots), [
        join(sysfs.root, 'dev/media3'),
      ]);
    });

    it('may be missing, or the node unknown', async () => {
      assert.equal(await openMedia('/dev/null', sysfs.roots), failure(ENODEV));
      addNode();
      assert.equal(await openMedia('/dev/null', sysfs.roots), failure(ENODEV));
      assert.equal(await openMedia(sysfs.root, sysfs.roots), failure(ENODEV));
      assert.equal(await openMedia(join(sysfs.root, 'dev/video7'), sysfs.roots), failure(ENOENT));
    });

    it('is the first of several, by number, that can be opened', async () => {
      addNode('media10', 'media9');
      const paths = [join(sysfs.root, 'dev/media9'), join(sysfs.root, 'dev/media10')];
      assert.deepEqual(await mediaDevices('/dev/null', sysfs.roots), paths);
      rmSync(paths[0]!);
      const fd = await opened();
      assert.equal(fstatSync(fd).size, 'media10'.length);
      closeSync(fd);
      rmSync(paths[1]!);
      assert.equal(await openMedia('/dev/null', sysfs.roots), failure(ENOENT));
    });

    it('is opened anew when the device is back, as soon as it can be', async () => {
      addNode('media3');
      rmSync(join(sysfs.root, 'dev/media3'));
      const old = openSync('/dev/null', 'r');
      const file = new MediaFile(old);
      assert.equal(await file.reopen('/dev/null', sysfs.roots), ENOENT);
      assert.equal(file.fd, old);
      put('dev/media3', 'media3');
      assert.equal(await file.reopen('/dev/null', sysfs.roots), 0);
      assert.equal(fstatSync(file.fd).size, 'media3'.length);
      file.close();
    });

    it('is no other thing beside the node', async () => {
      addNode();
      for (const name of ['media', 'mediaX', 'media0x', 'video4linux'])
        mkdirSync(join(sysfs.root, 'sys/devices/platform/decoder', name), { recursive: true });
      assert.deepEqual(await mediaDevices('/dev/null', sysfs.roots), []);
    });
  });

  it('are required by parsed formats on a queue that takes them', () => {
    for (const fourcc of ['S264', 'S265', 'MG2S', 'VP8F', 'VP9F', 'AV1F', 'SFWH']) {
      assert.equal(requiresRequests(['H264', fourcc], 0x0d), true);
      assert.equal(requiresRequests([fourcc], 0x05), false);
    }
    assert.equal(
      requiresRequests(['FWHT', 'H264', 'YU12'], 0x0d),
      false,
      'vim2m takes requests, and needs none',
    );
    assert.equal(requiresRequests([], 0x0d), false);
  });

  describe('are asked for', () => {
    const DECODER = 0x0400_4000;
    const formats = (fourcc: string) => ({ 10: [{ fourcc }] });
    const need = (
      description: ConstructorParameters<typeof FakeNode>[0],
      failing: Record<number, number> = {},
    ) => {
      const node = new FakeNode(description);
      return requestNeed(async (nr, payload) => failing[nr] ?? node.ioctl(nr, payload), DECODER);
    };

    it('and required, optional or none by formats and capabilities', async () => {
      assert.equal(await need({ bufferCapabilities: 0x0d, formats: formats('S264') }), 'required');
      assert.equal(await need({ bufferCapabilities: 0x0d, formats: formats('H264') }), 'optional');
      assert.equal(await need({ bufferCapabilities: 0x05, formats: formats('S264') }), 'none');
      for (const errno of [EINVAL, ENOTTY])
        assert.equal(await need({ requestErrno: errno, formats: formats('S264') }), 'none', `errno ${errno}`);
    });

    for (const errno of [EINTR, ENOMEM, EBUSY, ENODEV])
      it(`errno ${errno} of a moment does not turn them off`, async () => {
        assert.equal(await need({ requestErrno: errno, formats: formats('S264') }), 'required');
        assert.equal(await need({ requestErrno: errno, formats: formats('H264') }), 'unknown');
        assert.equal(
          await need({ bufferCapabilities: 0x0d, formats: formats('S264') }, { 2: errno }),
          failure(errno),
        );
      });
  });

  describe('the pool', () => {
    /** Answers asynchronously, as a lane does. */
    class FakeFile implements RequestCaller {
      readonly log: string[] = [];
      readonly busy = new Set<number>();
      allocateErrno = 0;
      queueErrno = 0;

      async call(call: NodeCall): Promise<number> {
        const before = this.#answer(call);
        await new Promise(setImmediate);
        return before;
      }

      #answer(call: NodeCall): number {
        if (call.kind === 'allocateRequest') {
          assert.equal(call.media, 77);
          this.log.push('allocate');
          if (this.allocateErrno === 0) call.request = openSync('/dev/null', 'r');
          return this.allocateErrno;
        }
        assert.ok(
          call.kind === 'queueRequest' || call.kind === 'reinitRequest' || call.kind === 'closeRequest',
        );
        fstatSync(call.request); // The request must be open when the call is accepted.
        this.log.push(`${call.kind.slice(0, -7)} ${call.request}`);
        if (call.kind === 'queueRequest') return this.queueErrno;
        return this.busy.has(call.request) ? EBUSY : 0;
      }
    }

    let file: FakeFile;
    let pool: RequestPool;
    let before: number;

    beforeEach(() => {
      before = openDescriptors();
      file = new FakeFile();
      pool = new RequestPool(file, { fd: 77 }, 3);
    });
    afterEach(() => {
      pool.close();
      assert.equal(openDescriptors(), before);
    });

    async function take(): Promise<number> {
      return success(await pool.take());
    }

    it('allocates up to its bound, also when all ask at once', async () => {
      const taken = await Promise.all([pool.take(), pool.take(), pool.take(), pool.take()]);
      assert.equal(taken.filter((each) => !isFailure(each)).length, 3);
      assert.equal(taken[3], failure(EMFILE));
      assert.equal(await pool.take(), failure(EMFILE));
      assert.equal(openDescriptors(), before + 3);
    });

    it('reuses what was given back, the oldest first, reset when it is taken', async () => {
      const [first, second] = [await take(), await take()];
      assert.equal(await pool.queue(first), 0);
      pool.giveBack(first);
      pool.giveBack(second);
      pool.giveBack(first);
      assert.deepEqual(file.log, ['allocate', 'allocate', `queue ${first}`]);
      assert.equal(await take(), first);
      assert.equal(await take(), second);
      assert.deepEqual(file.log.slice(3), [`reinit ${first}`, `reinit ${second}`]);
      assert.notEqual(await take(), first);
      assert.equal(await pool.take(), failure(EMFILE));
    });

    it('lets go of one that is not complete, and allocates another', async () => {
      const first = await take();
      file.busy.add(first);
      pool.giveBack(first);
      await take();
      // reinit finds out that it is busy; close runs on the lane.
      assert.deepEqual(file.log, ['allocate', `reinit ${first}`, `close ${first}`, 'allocate']);
      assert.equal(openDescriptors(), before + 1);
    });

    it('withdraws at once what was not queued', async () => {
      file.queueErrno = ENOENT;
      const first = await take();
      assert.equal(await pool.queue(first), ENOENT);
      await pool.withdraw(first);
      await pool.withdraw(first);
      assert.deepEqual(file.log.slice(2), [`reinit ${first}`]);
      assert.equal(await take(), first);
      file.busy.add(first);
      await pool.withdraw(first);
      assert.equal(openDescriptors(), before);
    });

    it('takes all of them back after STREAMOFF', async () => {
      for (let i = 0; i < 3; i++) await take();
      pool.giveBackAll();
      for (let i = 0; i < 3; i++) await take();
      assert.equal(file.log.filter((line) => line === 'allocate').length, 3);
    });

    it('tells why there is none, and goes on afterwards', async () => {
      file.allocateErrno = ENOTTY;
      for (let i = 0; i < 5; i++) assert.equal(await pool.take(), failure(ENOTTY));
      file.allocateErrno = 0;
      for (let i = 0; i < 3; i++) await take();
    });

    it('closes everything, also what is on its way', async () => {
      const [first, second] = [await take(), await take()];
      pool.giveBack(first);
      const reset = pool.take();
      const fresh = pool.take();
      const withdrawn = pool.withdraw(second);
      pool.close();
      pool.close();
      assert.equal(await reset, failure(EBADF));
      assert.equal(await fresh, failure(EBADF));
      await withdrawn;
      assert.equal(openDescriptors(), before);
      assert.equal(await pool.take(), failure(EBADF));
      pool.giveBack(first);
      assert.equal(await pool.take(), failure(EBADF));
    });
  });
});
