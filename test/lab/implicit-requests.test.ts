/**
 * A guest without media requests that queues several frames before the first is decoded, as programs do that parse ahead.
 * visl draws the values that it got into its pictures: each picture must show those that were set before its own QBUF.
 */
import assert from 'node:assert/strict';
import { Which } from '../../src/v4l2/control-layout.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { DrawnText } from './support/drawn-text.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { onStage } from './support/stage.js';
import { queueOutput, StatelessSession } from './support/stateless-session.js';

/** V4L2_CID_STATELESS_MPEG2_SEQUENCE and _PICTURE. */
const [SEQUENCE, PICTURE] = [0x00a40900 + 220, 0x00a40900 + 221];
const SIZE = [640, 360] as const;
/** The line that shows backward_ref_ts. */
const REFERENCE_LINE = 4;
const ALL_DIGITS = 1234567890n;

/** struct v4l2_ctrl_mpeg2_sequence: size, vbv_buffer_size, profile, chroma_format 4:2:0, flags. */
function sequence(vbvBufferSize: number) {
  const payload = Buffer.alloc(12);
  payload.writeUInt16LE(SIZE[0], 0);
  payload.writeUInt16LE(SIZE[1], 2);
  payload.writeUInt32LE(vbvBufferSize, 4);
  payload.writeUInt8(1, 10);
  return { id: SEQUENCE, payload };
}

/** struct v4l2_ctrl_mpeg2_picture: backward_ref_ts; a whole P picture. */
function picture(reference: bigint) {
  const payload = Buffer.alloc(32);
  payload.writeBigUInt64LE(reference, 0);
  payload.writeUInt8(2, 24);
  payload.writeUInt8(3, 25);
  return { id: PICTURE, payload };
}

describe('lab: frames that wait for a stateless decoder, without media requests', function () {
  this.timeout(60_000);
  before(function () {
    provide(this, 'visl');
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(() => unload('visl'));

  /** A session that has decoded one picture, whose letters are learnt, and whose queues are stopped. */
  async function ready(driver: Parameters<typeof StatelessSession.open>[0]) {
    const session = await StatelessSession.open(driver, true, ['MG2S', 'NV12'], [SIZE]);
    const { bytesperline } = session.capture.format.planes[0]!;
    const drawn = new DrawnText();
    const text = (reference: bigint) => `backward_ref_ts: ${reference}`;
    await session.start();
    assert.equal(await session.setControl(sequence(1)), 0);
    const first = await session.decode(Buffer.alloc(100), picture(ALL_DIGITS), async (feed) => {
      assert.equal(await session.setControl(feed.control), 0);
      await queueOutput(feed);
    });
    drawn.learn(first, bytesperline, REFERENCE_LINE, text(ALL_DIGITS));
    await session.output.off();
    await session.capture.off();
    const isShown = (luma: Uint8Array, reference: bigint) =>
      assert.equal(drawn.read(luma, bytesperline, REFERENCE_LINE, text(reference).length), text(reference));
    return { session, isShown };
  }

  const queueFrame = (session: StatelessSession, index: number) => {
    const timestamp = Buffer.alloc(16);
    timestamp.writeBigInt64LE(BigInt(100 + index), 8);
    return queueOutput({ session, index, bytesused: 100, timestamp, control: picture(0n) });
  };

  /** Takes the pictures of `count` frames in their order. */
  async function pictures({ driver, id, capture }: StatelessSession, count: number): Promise<Uint8Array[]> {
    const found: Uint8Array[] = [];
    for (let events = 0; events < 2 * count; events++) {
      const event = await driver.nextEvent(id);
      assert.ok(event.kind === 'dqbuf');
      if (event.buffer.type === capture.type) found.push(Buffer.concat(capture.bytes(event)));
    }
    assert.equal(found.length, count);
    return found;
  }

  for (const vmm of ['qemu', 'crosvm'] as const) {
    it(`${vmm}: each picture shows the values that were set before its QBUF, and none of a later frame`, () =>
      onStage(nodeNamed('visl'), { frontEnd: { vmm }, serve: { requests: 'auto' } }, async ({ driver }) => {
        const { session, isShown } = await ready(driver);
        for (const index of [0, 1, 2, 3]) await session.capture.queue(index);
        // The frame sets one control; the one that is drawn was set for a frame before.
        assert.equal(await session.setControl(sequence(2)), 0);
        await queueFrame(session, 0);
        assert.equal(await session.setControl(picture(42n)), 0);
        await queueFrame(session, 1);
        assert.equal(await session.setControl(sequence(3)), 0);
        await queueFrame(session, 2);
        assert.equal(await session.setControl(picture(77n)), 0);
        await session.start();
        const [first, second, third] = await pictures(session, 3);
        isShown(first!, ALL_DIGITS);
        isShown(second!, 42n);
        isShown(third!, 42n);
        await queueFrame(session, 0);
        isShown((await pictures(session, 1))[0]!, 77n);
        await session.stop();
      }));

    it(`${vmm}: frames that STREAMOFF drops take their values to the next frame`, () =>
      onStage(nodeNamed('visl'), { frontEnd: { vmm }, serve: { requests: 'auto' } }, async ({ driver }) => {
        const { session, isShown } = await ready(driver);
        await session.output.on();
        await queueFrame(session, 0);
        assert.equal(await session.setControl(picture(42n)), 0);
        await queueFrame(session, 1);
        await session.output.off();
        await session.capture.queue(0);
        await queueFrame(session, 0);
        await session.start();
        isShown((await pictures(session, 1))[0]!, 42n);
        assert.notEqual(
          await session.setControl(picture(1n), Which.REQUEST, 1),
          0,
          'the guest has no requests',
        );
        await session.stop();
      }));
  }
});
