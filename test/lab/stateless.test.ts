/**
 * Stateless decoders through the bridge: for guests that know no media requests (`--requests auto`), and for guests
 * that make their own (`--requests handles`, docs/stateless.md). The pictures must be those of a native program with
 * requests.
 */
import assert from 'node:assert/strict';
import { Errno } from '../../src/errno.js';
import { MAX_REQUEST_HANDLES } from '../../src/media/policy.js';
import { Which } from '../../src/v4l2/control-layout.js';
import { BufferCapability, BufferFlag } from '../../src/v4l2/layout.js';
import { openDescriptors } from '../addon/support/process.js';
import { u32 } from '../device/support/bytes.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { DrawnText } from './support/drawn-text.js';
import { FWHT_PARAMS, type FwhtFrame, fwhtParams } from './support/fwht.js';
import { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { codedSize, encodedPattern } from './support/native-codec.js';
import { decodeWithRequests } from './support/native-stateless.js';
import { errnoOf, onStage, type Stage } from './support/stage.js';
import { type Feed, queueOutput, StatelessSession, type Way } from './support/stateless-session.js';

const [ALLOC, QUEUE, REINIT, CLOSE] = [192, 193, 194, 195];
const COUNT = 12;

/** Sends what the program of a stateful decoder sends, and a control. */
const withoutRequests: Way = async (feed) => {
  assert.equal(await feed.session.setControl(feed.control), 0);
  await queueOutput(feed);
};

const handleOf = async (session: StatelessSession): Promise<number> =>
  (
    await session.driver.ioctl(session.id, ALLOC, Buffer.alloc(4), { direction: 'r', size: 4 })
  ).readUInt32LE();
const tell = (session: StatelessSession, nr: number, handle: number) =>
  session.driver.ioctl(session.id, nr, u32(handle), { direction: 'w', size: 4 });

/** Allocates a new request for each frame. */
const withHandles: Way = async (feed) => {
  const { session, control } = feed;
  const handle = await handleOf(session);
  assert.equal(await session.setControl(control, Which.REQUEST, handle), 0);
  const { buffer } = await queueOutput(feed, { flags: BufferFlag.REQUEST_FD, requestFd: handle });
  assert.equal(buffer.requestFd, handle);
  assert.ok(buffer.flags & BufferFlag.REQUEST_FD);
  await tell(session, QUEUE, handle);
  await tell(session, CLOSE, handle);
};

const ways = [
  { mode: 'auto', way: withoutRequests },
  { mode: 'handles', way: withHandles },
] as const;

const params = (frame: FwhtFrame, number: number): Feed['control'] => ({
  id: FWHT_PARAMS,
  payload: fwhtParams(frame, frame.isIntra ? 0n : BigInt(number) * 1000n),
});

for (const multiplanar of [false, true]) {
  const vicodec = `vicodec multiplanar=${Number(multiplanar)}`;

  describe(`lab: a stateless decoder through the bridge, ${multiplanar ? 'multi' : 'single'}-planar`, function () {
    this.timeout(60_000);
    before(function () {
      provide(this, vicodec);
    });
    beforeEach(keepJournal);
    afterEach(function () {
      showJournal(this.currentTest);
    });
    after(() => unload(vicodec));

    const open = ({ driver }: Stage, width: number, height: number) =>
      StatelessSession.open(
        driver,
        multiplanar,
        ['SFWH', 'YU12'],
        [
          [width, height],
          [codedSize(width), codedSize(height)],
        ],
      );

    for (const { mode, way } of ways)
      for (const vmm of ['qemu', 'crosvm'] as const)
        for (const [width, height] of [
          [640, 360],
          [800, 600],
          [1280, 720],
        ] as const)
          it(`--requests ${mode}, ${vmm}, ${width}x${height}: byte for byte as a native program with requests`, async () => {
            const frames = await encodedPattern(multiplanar, width, height, COUNT);
            const native = await decodeWithRequests(nodeNamed('stateless-decoder'), multiplanar, frames);
            const serve = { requests: mode, sharedMemorySize: 128 << 20 };
            await onStage(nodeNamed('stateless-decoder'), { frontEnd: { vmm }, serve }, async (stage) => {
              const session = await open(stage, width, height);
              await session.start();
              for (const [number, frame] of frames.entries()) {
                const picture = await session.decode(frame.data, params(frame, number), way);
                assert.ok(picture.equals(native[number]!.bytes), `picture ${number}`);
              }
              await session.stop();
            });
          });

    const frame = async () => (await encodedPattern(multiplanar, 640, 360, 1))[0]!;
    const onDecoder = (
      mode: 'auto' | 'handles' | 'off',
      play: (session: StatelessSession, frame: FwhtFrame, stage: Stage) => Promise<void>,
    ) =>
      onStage(nodeNamed('stateless-decoder'), { serve: { requests: mode } }, async (stage) => {
        await play(await open(stage, 640, 360), await frame(), stage);
      });

    it('auto: a buffer without the values that the driver wants is refused as QUEUE refuses it, and is free again', () =>
      onDecoder('auto', async (session, first) => {
        await session.start();
        const nothing: Way = (feed) => queueOutput(feed).then(() => undefined);
        const way = session.decode(first.data, params(first, 0), nothing);
        assert.equal(await errnoOf(way), Errno.ENOENT);
        await session.decode(first.data, params(first, 0), withoutRequests);
        await session.stop();
      }));

    it('auto: requests end with STREAMOFF and CLOSE, also those that are queued', () =>
      onDecoder('auto', async (session, first, { driver }) => {
        const before = openDescriptors();
        for (let round = 0; round < 20; round++) {
          await session.output.on();
          for (const index of [0, 1, 2]) {
            assert.equal(await session.setControl(params(first, 0)), 0);
            await queueOutput({
              session,
              index,
              bytesused: 100,
              timestamp: Buffer.alloc(16),
              control: params(first, 0),
            });
          }
          await session.output.off();
        }
        assert.ok(openDescriptors() - before <= 32, 'requests pile up');
        await driver.close(session.id);
        assert.ok(openDescriptors() < before, 'a request outlives its session');
      }));

    it('off: the node says what a native program without requests hears', () =>
      onDecoder('off', async (session, first) => {
        const EBADR = 53;
        assert.equal(await session.setControl(params(first, 0)), 0);
        const feed = {
          session,
          index: 0,
          bytesused: 100,
          timestamp: Buffer.alloc(16),
          control: params(first, 0),
        };
        assert.equal(await errnoOf(queueOutput(feed)), EBADR);
      }));

    it('handles: numbers of the session, at most 32, never a descriptor, and nothing of another session', () =>
      onDecoder('handles', async (session, first, { driver }) => {
        const before = openDescriptors();
        const handles: number[] = [];
        for (let n = 0; n < MAX_REQUEST_HANDLES; n++) handles.push(await handleOf(session));
        assert.equal(new Set(handles).size, MAX_REQUEST_HANDLES);
        assert.equal(await errnoOf(handleOf(session)), Errno.EMFILE);
        const other = await driver.open();
        for (const nr of [QUEUE, REINIT, CLOSE]) {
          const foreign = driver.ioctl(other, nr, u32(handles[0]!), { direction: 'w', size: 4 });
          assert.equal(await errnoOf(foreign), Errno.EINVAL);
          for (const none of [0, 3, 0xffff_ffff])
            assert.equal(await errnoOf(tell(session, nr, none + 1_000_000)), Errno.EINVAL);
        }
        for (const bad of [0, 5, 0x7fff_ffff]) {
          assert.equal(
            await session.setControl(params(first, 0), Which.REQUEST, bad + 1_000_000),
            Errno.EINVAL,
          );
          const feed = {
            session,
            index: 0,
            bytesused: 100,
            timestamp: Buffer.alloc(16),
            control: params(first, 0),
          };
          const sent = queueOutput(feed, { flags: BufferFlag.REQUEST_FD, requestFd: bad + 1_000_000 });
          assert.equal(await errnoOf(sent), Errno.EINVAL);
        }
        assert.equal(await errnoOf(tell(session, QUEUE, handles[0]!)), Errno.ENOENT, 'empty');
        await tell(session, REINIT, handles[0]!);
        for (const handle of handles) await tell(session, CLOSE, handle);
        assert.equal(await errnoOf(tell(session, CLOSE, handles[0]!)), Errno.EINVAL);
        assert.notEqual(await handleOf(session), handles[0]);
        await driver.close(session.id);
        await driver.close(other);
        assert.ok(openDescriptors() <= before, 'a request outlives its session');
      }));

    it('handles: the capability says it; otherwise neither capability nor codes are there', async () => {
      for (const mode of ['auto', 'handles'] as const)
        await onDecoder(mode, async (session, _, { driver }) => {
          const { capabilities } = await new GuestQueue(driver, session.id, session.output.type).request(2);
          assert.equal((capabilities & BufferCapability.REQUESTS) !== 0, mode === 'handles');
          if (mode === 'auto')
            for (const nr of [ALLOC, QUEUE, REINIT, CLOSE])
              assert.equal(await errnoOf(tell(session, nr, 1)), Errno.ENOTTY);
        });
    });
  });
}

describe('lab: visl through the bridge', function () {
  this.timeout(60_000);
  before(function () {
    provide(this, 'visl');
  });
  after(() => unload('visl'));

  /** The line that shows the reference of a FWHT frame. */
  const REFERENCE_LINE = 4;
  const frame = {
    version: 3,
    width: 640,
    height: 360,
    flags: (2 << 16) | (1 << 19) | (1 << 10),
    colorspace: 3,
    transferFunction: 0,
    encoding: 0,
    quantization: 0,
  };
  for (const { mode, way } of ways)
    it(`--requests ${mode}: the picture shows the values of its own frame`, () =>
      onStage(nodeNamed('visl'), { serve: { requests: mode } }, async ({ driver }) => {
        const session = await StatelessSession.open(driver, true, ['SFWH', 'NV12'], [[640, 360]]);
        const drawn = new DrawnText();
        await session.start();
        const text = (reference: bigint) => `backwards_ref_ts: ${reference}`;
        const { bytesperline } = session.capture.format.planes[0]!;
        for (const [number, reference] of [1234567890n, 9876543210n, 4n, 2n ** 62n].entries()) {
          const control = { id: FWHT_PARAMS, payload: fwhtParams(frame, reference) };
          const luma = await session.decode(Buffer.alloc(100), control, way);
          if (number === 0) drawn.learn(luma, bytesperline, REFERENCE_LINE, text(reference));
          const read = drawn.read(luma, bytesperline, REFERENCE_LINE, text(reference).length);
          assert.equal(read, text(reference));
        }
        await session.stop();
      }));
});
