import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PNG } from 'pngjs';
import { exitCodeOf } from '../../../src/cli/exit.js';
import { probeOptionsOf } from '../../../src/cli/probe-options.js';
import { Ask } from '../../support/front-end-messages.js';
import { settle, until } from '../../support/until.js';
import { pass, startClock, stopClock } from '../media/clock.js';
import type { FakeBackend } from './support/fake-backend.js';
import { cameraConfig } from './support/fake-camera.js';
import { given, ProbeStage } from './support/probe-stage.js';

const STREAMON = 18;

describe('probe', () => {
  let stage: ProbeStage;
  beforeEach(() => {
    stage = new ProbeStage();
  });
  afterEach(() => {
    startClock();
    stage.close();
  });

  /** Runs the command on a clock that stands still. When `isAsked`, and no answer comes, half a second passes. */
  async function runInVain(more: Record<string, string>, isAsked: () => boolean): Promise<string> {
    stopClock();
    const running = stage.run({ timeout: '0.5', ...more });
    running.catch(() => undefined);
    await until(isAsked);
    await settle();
    pass(500);
    return running;
  }

  it('says what the bridge is and how fast its frames are', async () => {
    const text = await stage.run({ frames: '5' });
    assert.match(text, /bridge\.sock: the bridge works/);
    assert.match(text, /card +Fake camera/);
    assert.match(text, /shared memory +a window of 1 MiB/);
    assert.match(text, /capabilities +VIDEO_CAPTURE EXT_PIX_FORMAT STREAMING/);
    assert.match(text, /virtio +RING_INDIRECT_DESC RING_EVENT_IDX VERSION_1/);
    assert.match(text, /capture +YUYV 4x2, 4 buffers, 1 SHM mapping for all of them/);
    assert.match(text, /frames +5, 1\.00 fps \(.* as they arrived\), 0 dropped, 0 damaged, 80 bytes/);
    assert.match(text, /timestamps +of a clock that the driver does not name/);
  });

  it('prints the name of a card without what a terminal would obey', async () => {
    const config = Buffer.from(cameraConfig);
    config.fill(0, 8);
    config.write('Cam\u001b[2J\nERROR forged', 8);
    config[28] = 0xff;
    stage.options = { ...stage.options, config };
    assert.match(await stage.run({ frames: '0' }), /^ {2}card +Cam\?\[2J\?ERROR forged\?$/m);
    assert.equal(JSON.parse(await stage.run({ frames: '0', json: true })).card, 'Cam?[2J?ERROR forged?');
  });

  it('prints the same as one JSON object', async () => {
    const report = JSON.parse(await stage.run({ frames: '3', json: true }));
    assert.equal(report.card, 'Fake camera');
    assert.equal(report.sharedMemory, 1 << 20);
    assert.equal(report.capture.frames, 3);
    assert.equal(report.capture.fps, 1);
    assert.equal(report.capture.mappings, 1);
    assert.deepEqual(report.queues[0].formats[0].fourcc, 'YUYV');
  });

  it('writes the last frame as a picture', async () => {
    const output = join(stage.directory, 'picture.png');
    await stage.run({ frames: '4', output });
    const png = PNG.sync.read(readFileSync(output));
    assert.deepEqual([png.width, png.height], [4, 2]);
    // Luma 16 + 3 in BT.601 limited range gives 3 * 255 / 219 = 3.49.
    assert.deepEqual([...png.data.subarray(0, 4)], [3, 3, 3, 255]);
  });

  it('writes every frame raw', async () => {
    const output = join(stage.directory, 'frames.raw');
    await stage.run({ frames: '3', output });
    const raw = readFileSync(output);
    assert.equal(raw.length, 48);
    assert.deepEqual([raw[0], raw[16], raw[32]], [16, 17, 18]);
  });

  it('only asks where no frames are wanted', async () => {
    const report = JSON.parse(await stage.run({ frames: '0', json: true }));
    assert.equal(report.capture, null);
  });

  it('describes a codec, which has no frames of its own', async () => {
    const config = Buffer.from(cameraConfig);
    config.writeUInt32LE(0x0420_8000);
    stage.options = { ...stage.options, config };
    const text = await stage.run({});
    assert.match(text, /capabilities +VIDEO_M2M EXT_PIX_FORMAT STREAMING/);
    assert.match(text, /VIDEO_OUTPUT +memory: MMAP\n/);
    assert.match(text, /frames +none: not asked for, or nothing that this device delivers/);
    const output = join(stage.directory, 'a.png');
    await assert.rejects(stage.run({ output }), (error: Error) => exitCodeOf(error) === 65);
  });

  it('takes files only to a mem-to-mem device, and only whole ones', async () => {
    const [transcode, output] = [join(stage.directory, 'in.raw'), join(stage.directory, 'out.raw')];
    const refused = async (more: Record<string, string>, code: number, sentence: RegExp) => {
      await assert.rejects(stage.run({ transcode, output, ...more }), (error: Error) => {
        assert.match(error.message, sentence);
        assert.equal(exitCodeOf(error), code);
        return true;
      });
      assert.equal(existsSync(output), false, 'no file is left');
    };
    await refused({}, 65, /in\.raw cannot be read: ENOENT/);
    writeFileSync(transcode, '');
    await refused({}, 65, /in\.raw is empty/);
    writeFileSync(transcode, Buffer.alloc(24));
    await refused({}, 65, /not a mem-to-mem device/);
    await refused({ output: join(stage.directory, 'none/out') }, 73, /none\/out cannot be written/);
    await refused({ output: transcode }, 64, /are the same file/);
    const config = Buffer.from(cameraConfig);
    config.writeUInt32LE(0x0420_8000);
    stage.options = { ...stage.options, config };
    await refused({}, 65, /it has 24 bytes, a frame of YUYV 4x2 has 16: .*--size/);
    await refused({ format: 'NV12' }, 74, /does not take NV12; it offers YUYV/);
  });

  it('says what the device takes when it refuses the format', async () => {
    await assert.rejects(stage.run({ format: 'NV12' }), (error: Error) => {
      assert.equal(exitCodeOf(error), 74);
      assert.match(error.message, /does not take NV12; it offers YUYV: choose another --format/);
      return true;
    });
  });

  it('says so when the file cannot be written', async () => {
    await assert.rejects(stage.run({ output: join(stage.directory, 'none/a.png') }), (error: Error) => {
      assert.equal(exitCodeOf(error), 73);
      assert.match(error.message, /none\/a\.png cannot be written: /);
      return true;
    });
  });

  it('names the cure when nobody serves the socket', async () => {
    await assert.rejects(stage.run({ socket: join(stage.directory, 'none.sock') }), (error: Error) => {
      assert.equal(exitCodeOf(error), 69);
      assert.match(error.message, /nobody serves .*none\.sock: start the bridge first/);
      return true;
    });
  });

  it('says so when the camera delivers nothing, and leaves no file', async () => {
    const camera = stage.camera();
    camera.stalled = true;
    const output = join(stage.directory, 'none.png');
    const isStreaming = () => camera.ioctls.includes(STREAMON);
    await assert.rejects(runInVain({ output }, isStreaming), (error: Error) => {
      assert.equal(exitCodeOf(error), 74);
      assert.match(error.message, /no frame came within 0\.5 s: look at the camera/);
      return true;
    });
    assert.throws(() => readFileSync(output), { code: 'ENOENT' });
  });

  it('says so when the other side is silent, or no back-end at all', async () => {
    stage.options = { silent: [Ask.GET_CONFIG] };
    const isAsked = () => stage.requests.includes(Ask.GET_CONFIG);
    await assert.rejects(runInVain({}, isAsked), (error: Error) => {
      assert.equal(exitCodeOf(error), 76);
      assert.match(error.message, /GET_CONFIG: no answer in 0\.5 s/);
      return true;
    });
  });

  it('says so when the bridge has another VMM, and when it hangs up later', async () => {
    stage.accept((backend) => backend.close());
    await assert.rejects(stage.run({}), (error: Error) => {
      assert.equal(exitCodeOf(error), 75);
      assert.match(error.message, /hung up at once: a bridge serves one VMM at a time/);
      return true;
    });
    const device = (_: Buffer, backend: FakeBackend) => {
      backend.close();
      return undefined;
    };
    stage.options = { config: cameraConfig, device };
    stage.accept(() => undefined);
    await assert.rejects(stage.run({}), (error: Error) => {
      assert.equal(exitCodeOf(error), 76);
      assert.match(error.message, /the peer closed the connection: the log of the bridge says why/);
      return true;
    });
  });

  it('refuses options that make no sense before it connects', () => {
    const wrong: [Record<string, string>, RegExp][] = [
      [{ size: '640' }, /--size must be a width and a height/],
      [{ size: '0x480' }, /--size/],
      [{ frames: '-1' }, /--frames must be a whole number/],
      [{ frames: '0', output: 'a.png' }, /--output needs --frames/],
      [{ timeout: 'soon' }, /--timeout must be a number of seconds/],
      [{ timeout: '0' }, /--timeout/],
      [{ output: 'picture.gif' }, /--output must end in one of \.png/],
      [{ transcode: 'a.yuv' }, /--transcode needs --output/],
      [{ format: 'TOOLONG' }, /--format: TOOLONG is no FOURCC/],
    ];
    for (const [more, sentence] of wrong)
      assert.throws(
        () => probeOptionsOf({ ...given, ...more }),
        (error: Error) => exitCodeOf(error) === 64 && sentence.test(error.message),
      );
  });
});
