import assert from 'node:assert/strict';
import { Codec, CodecError, CodecStalled } from '../../../src/client/codec.js';
import { GuestDriver } from '../../../src/client/guest-driver.js';
import { Vmm } from '../../../src/client/vmm.js';
import { until } from '../../support/until.js';
import { type FakeBackend, fakeBackend } from './support/fake-backend.js';
import { cameraConfig } from './support/fake-camera.js';
import { CODEC_CAPS, FakeCodec } from './support/fake-codec.js';

const DECODER_CMD = 96;

describe('Codec', () => {
  let backend: FakeBackend;
  let frontEnd: Vmm;
  let device: FakeCodec;
  let driver: GuestDriver;

  async function start(fake = new FakeCodec(), timeout = 5000): Promise<Codec> {
    device = fake;
    const pair = fakeBackend({ config: cameraConfig, device: device.device, shmSize: 4 << 20 });
    backend = pair.backend;
    frontEnd = await Vmm.connect(pair.fd);
    driver = await GuestDriver.probe(frontEnd);
    const codec = await Codec.open(driver, CODEC_CAPS, { timeout });
    await codec.start();
    return codec;
  }

  afterEach(() => {
    frontEnd.close();
    backend.close();
    device.close();
  });

  /** Runs frames through the decoder and returns width and value of each frame that comes out. */
  async function through(codec: Codec, ...frames: [width: number, value: number][]) {
    const got: [number, number][] = [];
    const source = frames.map((frame) => [Buffer.from(frame)]).values();
    for await (const { planes } of codec.run(source)) {
      const [plane] = planes;
      assert.ok(plane!.every((byte) => byte === plane![0]));
      got.push([plane!.length / 2, plane![0]!]);
    }
    return got;
  }

  const frames = (width: number, first: number, count: number) =>
    Array.from({ length: count }, (_, i): [number, number] => [width, first + i]);

  it('decodes more frames than there are buffers, and drains', async () => {
    const codec = await start();
    assert.equal(codec.role, 'decoder');
    assert.deepEqual(await through(codec, ...frames(8, 1, 20)), frames(8, 1, 20));
    assert.deepEqual([codec.framesIn, codec.framesOut, codec.ends, codec.refused], [20, 20, 1, 0]);
    assert.deepEqual(codec.buffers, { output: 4, capture: 4 });
    await codec.release();
    assert.deepEqual(driver.complaints, []);
    assert.equal(driver.postedEvents, 16);
  });

  it('drains a stream that ends before the device knows what it is', async () => {
    const codec = await start();
    assert.deepEqual(await through(codec, [8, 1]), [[8, 1]]);
    assert.equal(device.ioctls.filter((nr) => nr === DECODER_CMD).length, 1, 'not before CAPTURE streams');
  });

  it('follows the resolution, also while it drains', async () => {
    const codec = await start();
    const stream = [...frames(8, 1, 6), ...frames(16, 50, 2), ...frames(4, 90, 1)];
    assert.deepEqual(await through(codec, ...stream), stream);
    assert.deepEqual(
      codec.resolutions.map(({ format, at }) => [format.width, at]),
      [
        [8, 0],
        [16, 6],
        [4, 8],
      ],
    );
    assert.deepEqual(driver.complaints, []);
  });

  it('goes on after a drain, again and again, with all its buffers', async () => {
    const codec = await start();
    for (let round = 0; round < 6; round++) {
      assert.deepEqual(await through(codec, ...frames(8, round, 3)), frames(8, round, 3));
      await codec.restart(round % 2 === 0 ? 'command' : 'stream');
    }
    assert.equal(codec.ends, 6);
    assert.deepEqual(driver.complaints, []);
  });

  it('seeks: what was on its way never comes', async () => {
    const codec = await start();
    const source = frames(8, 1, 9).map((frame) => [Buffer.from(frame)]);
    for await (const _ of codec.run(source.values())) break;
    await codec.seek();
    assert.deepEqual(await through(codec, ...frames(8, 100, 5)), frames(8, 100, 5));
    await codec.seek();
    assert.deepEqual(await through(codec, ...frames(16, 200, 5)), frames(16, 200, 5));
    assert.deepEqual(driver.complaints, []);
  });

  it('seeks in the middle of a change of the resolution', async () => {
    const codec = await start();
    const source = [...frames(8, 1, 2), ...frames(16, 9, 4)].map((frame) => [Buffer.from(frame)]);
    // The seek begins at the first frame, when SOURCE_CHANGE and the LAST buffer wait in the driver.
    for await (const _ of codec.run(source.values())) break;
    await until(() => device.hasStopped && backend.waiting(1) === 16);
    await codec.seek();
    assert.deepEqual(await through(codec, ...frames(16, 20, 3)), frames(16, 20, 3));
    assert.deepEqual(
      codec.resolutions.map(({ format }) => format.width),
      [8, 16],
    );
    assert.deepEqual(driver.complaints, []);
  });

  it('counts what the device can make nothing of', async () => {
    const fake = new FakeCodec();
    fake.broken.add(2);
    const codec = await start(fake);
    assert.deepEqual(await through(codec, ...frames(8, 1, 3)), [
      [8, 1],
      [8, 3],
    ]);
    assert.equal(codec.refused, 1);
  });

  it('ends a converter when as many frames are out as in', async () => {
    const codec = await start(new FakeCodec({ compressed: false }));
    assert.equal(codec.role, 'converter');
    assert.deepEqual(
      (await through(codec, ...frames(4, 1, 9))).map(([, value]) => value),
      [1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    assert.ok(!device.ioctls.includes(DECODER_CMD));
    assert.deepEqual(await through(codec), []);
  });

  it('says so when the device is none, gives nothing, or gets too much', async () => {
    const fake = new FakeCodec();
    fake.stalled = true;
    const codec = await start(fake, 200);
    await assert.rejects(
      through(codec, [8, 1]),
      (error: Error) =>
        error instanceof CodecStalled &&
        error.message ===
          'the device was given 1 frames and gave 0, but it found no stream in them within 0.2 s',
    );
    await assert.rejects(Codec.open(driver, 1), CodecError);
    const large = codec.run([[Buffer.alloc(3)]].values());
    await assert.rejects(large.next(), /a frame of 3 bytes does not fit a buffer of 2/);
  });
});
