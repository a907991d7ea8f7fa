/** The request API on vicodec's stateless decoder, which requires it, through the addon alone. */
import assert from 'node:assert/strict';
import { closeSync, fstatSync } from 'node:fs';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferCapability, BufferFlag } from '../../src/v4l2/layout.js';
import { openMedia, RequestPool, requiresRequests } from '../../src/v4l2/media-request.js';
import { openDescriptors } from '../addon/support/process.js';
import { success } from '../unit/support/success.js';
import { FWHT_PARAMS, FWHT_PARAMS_SIZE, type FwhtFrame, fwhtParams } from './support/fwht.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { encodedPattern, visible } from './support/native-codec.js';
import { decodeWithRequests, StatelessDecoder } from './support/native-stateless.js';

const EPERM = 1;
const ENOENT = 2;
const EBADF = 9;
const EACCES = 13;
const EBUSY = 16;
const EINVAL = 22;
const ENOTTY = 25;
const EBADR = 53;

const [WIDTH, HEIGHT] = [640, 360];

for (const multiplanar of [false, true]) {
  const vicodec = `vicodec multiplanar=${Number(multiplanar)}`;

  describe(`lab: media requests on vicodec, ${multiplanar ? 'multi' : 'single'}-planar`, function () {
    this.timeout(60_000);
    let frames: FwhtFrame[];
    let descriptors: number;
    before(async function () {
      provide(this, vicodec);
      frames = await encodedPattern(multiplanar, WIDTH, HEIGHT, 20);
    });
    beforeEach(() => {
      descriptors = openDescriptors();
    });
    afterEach(() => assert.equal(openDescriptors(), descriptors, 'a descriptor is left'));

    after(() => unload(vicodec));

    const onDecoder = (use: (decoder: StatelessDecoder) => Promise<void>) =>
      StatelessDecoder.with(
        nodeNamed('stateless-decoder'),
        multiplanar,
        ['SFWH', 'YU12'],
        [WIDTH, HEIGHT],
        use,
      );
    const params = () => fwhtParams(frames[0]!, 0n);

    it('says that it is needed, as far as a driver does', () =>
      onDecoder(async ({ output, capture }) => {
        assert.ok(requiresRequests(['SFWH'], output.capabilities));
        assert.equal(capture.capabilities & BufferCapability.REQUESTS, 0);
        assert.equal((await output.ask(0, { bytes: frames[0]!.data })).errno, EBADR);
      }));

    it('refuses to queue a request that is not whole', () =>
      onDecoder(async ({ output, requests }) => {
        const request = await requests.allocate();
        assert.equal(await requests.queue(request), ENOENT, 'empty');
        assert.equal(await requests.control(request, FWHT_PARAMS, params()), 0);
        assert.equal(await requests.queue(request), ENOENT, 'no buffer');
        assert.equal(await requests.reinit(request), 0);
        await output.queue(0, { bytes: frames[0]!.data, request });
        assert.equal(await requests.queue(request), ENOENT, 'no values');
        await output.queue(1, { bytes: frames[0]!.data, request });
        assert.equal(await requests.control(request, FWHT_PARAMS, params()), 0);
        assert.equal(await requests.queue(request), EINVAL, 'two buffers');
        // REINIT takes both buffers out, so another request may use them.
        assert.equal(await requests.reinit(request), 0);
        await output.queue(1, { bytes: frames[0]!.data, request });
        assert.equal(await requests.reinit(request), 0);
      }));

    it('queues once, and neither resets nor changes what is queued', () =>
      onDecoder(async (decoder) => {
        const { output, requests } = decoder;
        const request = await requests.allocate();
        await decoder.submit(request, 0, frames[0]!, 0);
        assert.equal(await requests.queue(request), EBUSY);
        assert.equal(await requests.reinit(request), EBUSY);
        assert.equal(await requests.control(request, FWHT_PARAMS, params()), EBUSY);
        assert.equal((await output.ask(1, { bytes: frames[0]!.data, request })).errno, EBUSY);
      }));

    it('shows the flags of a request, and no descriptor', () =>
      onDecoder(async ({ output, requests }) => {
        const request = await requests.allocate();
        const { REQUEST_FD, IN_REQUEST } = BufferFlag;
        const answer = await output.ask(0, { bytes: frames[0]!.data, request });
        assert.equal(answer.errno, 0);
        assert.equal(answer.flags & (REQUEST_FD | IN_REQUEST), REQUEST_FD | IN_REQUEST);
        assert.equal(answer.requestFd, 0);
        const refused = await output.ask(0, { bytes: frames[0]!.data, request });
        assert.deepEqual([refused.errno, refused.flags, refused.requestFd], [EINVAL, 0, 0]);
      }));

    it('takes no CAPTURE buffer', () =>
      onDecoder(async ({ capture, requests }) => {
        const request = await requests.allocate();
        await capture.off();
        assert.equal((await capture.ask(0, { request })).errno, EPERM);
        await capture.queue(0);
      }));

    it('keeps values to the request: they are read when it is complete', () =>
      onDecoder(async (decoder) => {
        const { requests } = decoder;
        const [request, other] = [await requests.allocate(), await requests.allocate()];
        const read = Buffer.alloc(FWHT_PARAMS_SIZE);
        const get = () => requests.control(request, FWHT_PARAMS, read, Ioctl.G_EXT_CTRLS);
        assert.equal(await get(), EACCES);
        await decoder.submit(request, 0, frames[0]!, 0);
        await decoder.start();
        await decoder.next();
        await decoder.recycle(other);
        assert.equal(await requests.queue(request), EBUSY, 'complete is not empty');
        assert.equal(await get(), 0);
        assert.deepEqual(read, params());
        await decoder.recycle(request);
        assert.equal(await get(), EACCES);
      }));

    it('knows a request by its descriptor, and nothing else', () =>
      onDecoder(async ({ node, output, requests }) => {
        const request = await requests.allocate();
        const gone = await requests.allocate();
        requests.release(gone);
        const bytes = frames[0]!.data;
        assert.equal(await requests.control(gone, FWHT_PARAMS, params()), EBADF);
        assert.equal((await output.ask(0, { bytes, request: gone })).errno, EBADF);
        assert.equal(await requests.queue(gone), EBADF);
        assert.equal(await requests.control(requests.media, FWHT_PARAMS, params()), EINVAL);
        assert.equal((await output.ask(0, { bytes, request: requests.media })).errno, EINVAL);
        assert.equal(await requests.queue(requests.media), ENOTTY);
        assert.equal(await requests.reinit(requests.media), ENOTTY);
        assert.equal(await node.submit({ kind: 'allocateRequest', media: request }), ENOTTY);
        // The request is released here, so only the lane's copy of its descriptor is left.
        const queued = output.ask(0, { bytes, request });
        requests.release(request);
        assert.equal((await queued).errno, 0);
      }));

    it('loses no request whose number cannot be told', () =>
      onDecoder(async ({ node, requests: { media } }) => {
        const before = openDescriptors();
        const frozen = Object.freeze({ kind: 'allocateRequest', media } as const);
        assert.equal(await node.submit(frozen), 0);
        const sealed = Object.preventExtensions({ kind: 'allocateRequest', media } as const);
        assert.equal(await node.submit(sealed), 0);
        assert.equal(openDescriptors(), before);
      }));

    it('ends with STREAMOFF: what was queued is complete, what was not is empty', () =>
      onDecoder(async (decoder) => {
        const { output, requests } = decoder;
        const ring = [await requests.allocate(), await requests.allocate(), await requests.allocate()];
        await output.on();
        for (const [index, request] of ring.entries())
          if (index < 2) await decoder.submit(request, index, frames[index]!, index);
        await output.queue(2, { bytes: frames[2]!.data, request: ring[2]! });
        await output.off();
        for (const request of ring.slice(0, 2)) assert.equal(await requests.queue(request), EBUSY);
        assert.equal(await requests.queue(ring[2]!), ENOENT);
        for (const request of ring) assert.equal(await requests.reinit(request), 0);
        await decoder.start();
        await decoder.submit(ring[0]!, 0, frames[0]!, 0);
        await decoder.next();
      }));

    it('closes with requests in flight', () =>
      onDecoder(async (decoder) => {
        const ring = await Promise.all([0, 1, 2, 3].map(() => decoder.requests.allocate()));
        await decoder.output.on();
        for (const [index, request] of ring.entries())
          await decoder.submit(request, index, frames[index]!, index);
      }));

    it('decodes 100 frames with four requests', async () => {
      const stream = Array.from({ length: 5 }, () => frames).flat();
      const pictures = await decodeWithRequests(nodeNamed('stateless-decoder'), multiplanar, stream);
      assert.equal(pictures.length, 100);
      for (const [number, picture] of pictures.entries()) {
        const first = visible(pictures[number % 20]!, WIDTH, HEIGHT);
        assert.ok(visible(picture, WIDTH, HEIGHT).equals(first), `picture ${number} differs`);
      }
    });

    it('is pooled: a frame a request, four requests in all', () =>
      onDecoder(async (decoder) => {
        const media = { fd: success(await openMedia(nodeNamed('stateless-decoder'))) };
        assert.equal(fstatSync(media.fd).rdev, fstatSync(decoder.requests.media).rdev);
        let allocated = 0;
        const file = {
          call: (call: Parameters<typeof decoder.node.submit>[0]) => {
            if (call.kind === 'allocateRequest') allocated++;
            return decoder.node.submit(call);
          },
        };
        const pool = new RequestPool(file, media, 4);
        await decoder.start();
        let before: number | undefined;
        for (const [number, frame] of frames.entries()) {
          const request = success(await pool.take());
          await decoder.submit(request, 0, frame, number);
          const { capture } = await decoder.next();
          pool.giveBack(request);
          if (before !== undefined) await decoder.capture.queue(before);
          before = capture;
        }
        pool.close();
        closeSync(media.fd);
        assert.ok(allocated <= 4, `${allocated} allocated`);
      }));
  });
}
