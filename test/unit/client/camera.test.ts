import assert from 'node:assert/strict';
import { Camera, captureType, NoFrames } from '../../../src/client/camera.js';
import { GuestDriver } from '../../../src/client/guest-driver.js';
import { Vmm } from '../../../src/client/vmm.js';
import { type FakeBackend, fakeBackend } from './support/fake-backend.js';
import { cameraConfig, FakeCamera, FRAME_BYTES } from './support/fake-camera.js';

describe('Camera', () => {
  let backend: FakeBackend;
  let frontEnd: Vmm;
  let camera: FakeCamera;
  let driver: GuestDriver;

  async function connect(fourcc = 'YUYV'): Promise<void> {
    camera = new FakeCamera(fourcc);
    const pair = fakeBackend({ config: cameraConfig, device: camera.device });
    backend = pair.backend;
    frontEnd = await Vmm.connect(pair.fd);
    driver = await GuestDriver.probe(frontEnd);
  }

  afterEach(() => {
    frontEnd.close();
    backend.close();
    camera.close();
  });

  it('streams frames through SHM region 0, in order and whole', async () => {
    await connect();
    const { deviceCaps, card } = await frontEnd.readConfig();
    assert.equal(card, 'Fake camera');
    const source = await Camera.open(driver, deviceCaps);
    assert.equal(source.format.fourcc, 'YUYV');
    await source.start();
    const seen: number[] = [];
    for await (const frame of source.frames(10)) {
      assert.equal(frame.bytesused, FRAME_BYTES);
      assert.equal(frame.planes.length, 1);
      assert.equal(frame.planes[0]![0], 16 + frame.sequence);
      assert.equal(frame.timestamp, 100 + frame.sequence);
      seen.push(frame.sequence);
    }
    assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    await source.release();
    assert.deepEqual(driver.complaints, []);
    assert.equal(driver.postedEvents, 16);
    assert.equal(frontEnd.sharedMemory.mapped, 1);
    assert.equal(camera.ioctls.at(-2), 19, 'STREAMOFF');
    assert.equal(camera.ioctls.at(-1), 8, 'REQBUFS');
  });

  it('streams frames of several planes', async () => {
    await connect('NM12');
    const source = await Camera.open(driver, 0x1000);
    assert.deepEqual(
      source.format.planes.map(({ sizeimage }) => sizeimage),
      [8, 4],
    );
    await source.start();
    let count = 0;
    for await (const frame of source.frames(9)) {
      assert.deepEqual([...frame.planes[0]!], new Array(8).fill(16 + count));
      assert.deepEqual([...frame.planes[1]!], [128, 128, 128, 128]);
      assert.equal(frame.bytesused, 12);
      count++;
    }
    assert.equal(count, 9);
    await source.release();
    assert.deepEqual(driver.complaints, []);
  });

  it('streams frames into guest pages where there is no SHM region', async () => {
    await connect();
    const { available } = driver.heap;
    const source = await Camera.open(driver, 1, { memory: 'userptr', buffers: 3 });
    await source.start();
    assert.equal(source.buffers, 3);
    let count = 0;
    for await (const frame of source.frames(7)) assert.equal(frame.planes[0]![0], 16 + count++);
    await source.release();
    assert.equal(count, 7);
    assert.equal(frontEnd.sharedMemory.mapped, 0);
    assert.equal(driver.heap.available, available);
  });

  it('ends at the last buffer, and says which frames are damaged', async () => {
    await connect();
    camera.flags = 0x40;
    const source = await Camera.open(driver, 1);
    await source.start();
    for await (const frame of source.frames(2)) {
      assert.ok(frame.damaged);
      camera.flags = 0x10_0000;
    }
    let after = 0;
    for await (const _ of source.frames(100)) after++;
    assert.ok(after < 8, `${after} frames`);
    await source.release();
  });

  it('gives up with a sentence when no frame comes', async () => {
    await connect();
    camera.stalled = true;
    const source = await Camera.open(driver, 1, { timeout: 50 });
    await source.start();
    await assert.rejects(
      async () => {
        for await (const _ of source.frames(1)) assert.fail();
      },
      (error: Error) => error instanceof NoFrames && /no frame came within 0.05 s/.test(error.message),
    );
    await source.release();
  });

  it('names what the device offers when it does not take the format', async () => {
    await connect();
    await assert.rejects(Camera.open(driver, 1, { format: 'NV12' }), /does not take NV12; it offers YUYV/);
    await connectedStill();
  });

  it('takes the format it prefers only where the device has it', async () => {
    await connect('MJPG');
    const source = await Camera.open(driver, 1, { prefer: ['JPEG', 'MJPG'] });
    assert.equal(source.format.fourcc, 'MJPG');
  });

  it('knows the buffer type of a camera, and that a codec is none', () => {
    assert.equal(captureType(0x0420_0001), 1);
    assert.equal(captureType(0x0420_1000), 9);
    assert.throws(() => captureType(0x0420_8000), /no camera/);
  });

  async function connectedStill(): Promise<void> {
    assert.equal((await frontEnd.readConfig()).card, 'Fake camera');
  }
});
