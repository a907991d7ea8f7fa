/** `probe` records what a camera sends, damaged frames among it. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PNG } from 'pngjs';
import { exitCodeOf } from '../../../src/cli/exit.js';
import { cameraConfig } from './support/fake-camera.js';
import * as turbo from './support/jpeg-turbo.js';
import { ProbeStage } from './support/probe-stage.js';

const [EINVAL, ENODEV, ENOMEM] = [22, 19, 12];
const [REQBUFS, QBUF] = [8, 15];
/** V4L2_BUF_FLAG_ERROR. */
const ERROR = 0x40;
const whole = turbo.encode(turbo.scene(96, 64), '4:2:2');
const SCAN = Buffer.from([0xff, 0xda]);
/** Without the second half of its data. */
const cut = whole.subarray(0, (whole.indexOf(SCAN) + whole.length) / 2);

describe('probe, recording', () => {
  let stage: ProbeStage;
  beforeEach(() => {
    stage = new ProbeStage();
  });
  afterEach(() => stage.close());

  const path = (name: string) => join(stage.directory, name);
  const written = (name: string) => readFileSync(path(name));
  /** A camera for one run that sends frames in turn, the last one for ever. */
  function sends(...frames: readonly (Buffer | { bytes: Buffer; flags: number })[]): void {
    stage.camera('MJPG').frameOf = (sequence) => {
      const sent = frames[Math.min(sequence, frames.length - 1)]!;
      return Buffer.isBuffer(sent) ? { bytes: sent } : sent;
    };
  }
  const fails = (more: Record<string, unknown>, code: number, sentence: RegExp) =>
    assert.rejects(stage.run(more), (error: Error) => {
      assert.match(error.message, sentence);
      assert.equal(exitCodeOf(error), code);
      return true;
    });

  it('goes on past damaged frames, which it leaves out and tells', async () => {
    sends(whole, cut, Buffer.alloc(0), whole.subarray(0, -2), { bytes: whole, flags: ERROR }, cut, whole);
    const text = await stage.run({ frames: '7', output: path('a.mjpg') });
    assert.deepEqual(written('a.mjpg'), Buffer.concat([whole, whole, whole]));
    assert.match(text, /frames +7, .* 4 damaged/);
    assert.match(text, /damaged +2: the JPEG frame is damaged: premature end of data segment\n/);
    assert.match(text, /\n +1: the frame is empty\n +1: the driver has marked the frame as damaged\n/);
    assert.match(text, /written +.*a\.mjpg, /);
  });

  it('keeps them if that is asked for', async () => {
    sends(whole, cut, whole);
    await stage.run({ frames: '3', output: path('a.mjpg'), damaged: 'keep' });
    assert.deepEqual(written('a.mjpg'), Buffer.concat([whole, cut, Buffer.from([0xff, 0xd9]), whole]));
  });

  it('goes on past short frames of an uncompressed format', async () => {
    const short = Buffer.alloc(9, 100);
    const odd = (sequence: number) => (sequence % 2 === 1 ? { bytes: short } : undefined);
    stage.camera().frameOf = odd;
    const report = JSON.parse(await stage.run({ frames: '4', output: path('a.mjpg'), json: true }));
    const { frames, damaged, damage, loss } = report.capture;
    assert.deepEqual([frames, damaged, loss], [4, 2, null]);
    assert.deepEqual(damage, [
      { reason: 'the frame is cut short: plane 0 has 9 bytes, 4x2 YUYV needs 16', frames: 2 },
    ]);
    stage.camera().frameOf = odd;
    await stage.run({ frames: '4', output: path('a.raw') });
    assert.equal(written('a.raw').length, 2 * 16);
  });

  it('shows the last frame that is whole, whichever came last', async () => {
    sends(whole, cut);
    const report = await stage.run({ frames: '3', output: path('a.png') });
    const wanted = turbo.decode(whole).data;
    const png = PNG.sync.read(written('a.png'));
    assert.deepEqual([...png.data.filter((_, at) => at % 4 !== 3)], [...wanted]);
    assert.doesNotMatch(report, /picture/);
  });

  it('says so if every frame is damaged: the report, what is missing of the picture, and exit 74', async () => {
    sends(cut);
    const sentence = /bridge\.sock: all 3 frames came damaged: try another cable/;
    await fails({ frames: '3', output: path('a.png') }, 74, sentence);
    assert.match(stage.printed, /the bridge works\n(.*\n)+ +frames +3, .* 3 damaged/);
    assert.match(
      stage.printed,
      /\n +picture +damaged: \d\d % of it is missing, and grey \(the JPEG frame is damaged: premature end/,
    );
    const { data } = PNG.sync.read(written('a.png'));
    assert.deepEqual([...data.subarray(0, 4)], [...turbo.decode(whole).data.subarray(0, 3), 255]);
    assert.deepEqual([...data.subarray(-4)], [128, 128, 128, 255]);
    sends(cut);
    await fails({ frames: '3', output: path('a.mjpg') }, 74, sentence);
    assert.ok(!existsSync(path('a.mjpg')));
    assert.match(stage.printed, /\n +written +nothing/);
    sends(cut);
    await fails({ frames: '3', output: path('a.mjpg'), damaged: 'keep' }, 74, sentence);
    assert.equal(written('a.mjpg').length, 3 * (cut.length + 2));
  });

  it('says so without a recording too', async () => {
    stage.camera().flags = ERROR;
    await fails({ frames: '2' }, 74, /all 2 frames came damaged/);
    assert.match(stage.printed, /2 damaged/);
  });

  it('has a line for a few kinds of damage, and one for the rest', async () => {
    stage.camera().frameOf = (sequence) => (sequence > 0 ? { bytes: Buffer.alloc(sequence) } : undefined);
    const text = await stage.run({ frames: '10', output: path('a.raw') });
    assert.match(text, /damaged +1: .* has 1 bytes/);
    assert.match(text, /has 5 bytes, .*\n +4: other damage\n/);
    assert.doesNotMatch(text, /has 6 bytes/);
  });

  it('says that the device was unplugged, and what the file has', async () => {
    stage.camera().refusal = { nr: QBUF, errno: ENODEV, after: 5 };
    await fails(
      { frames: '30', output: path('a.raw') },
      74,
      /^the device was unplugged, or its driver gave it up: QBUF: ENODEV \(.*a\.raw is not complete: it has the first \d+ bytes\)$/,
    );
    assert.ok(written('a.raw').length >= 16);
    stage.camera().refusal = { nr: QBUF, errno: ENODEV, after: 5 };
    await fails({ frames: '30' }, 74, /unplugged.*: QBUF: ENODEV$/);
  });

  it('needs a camera', async () => {
    const config = Buffer.from(cameraConfig);
    const META_CAPTURE_STREAMING = 0x0480_0000;
    config.writeUInt32LE(META_CAPTURE_STREAMING);
    stage.options = { ...stage.options, config };
    await fails(
      { output: path('a.png') },
      65,
      /no camera, it delivers no frames by itself: leave --output out/,
    );
    assert.match(await stage.run({}), /frames +none: not asked for/);
  });

  it('says what is wrong with the format if the device makes no buffers for it', async () => {
    const refused = (errno: number, sizeimage: number) => {
      const camera = stage.camera();
      camera.sizeimage = sizeimage;
      // The survey asks for buffers too, before the stream.
      camera.refusal = { nr: REQBUFS, errno, after: 0 };
    };
    refused(EINVAL, 0);
    await fails({}, 74, /the device refused REQBUFS: EINVAL \(sizeimage of YUYV 4x2 is 0 bytes\)/);
    refused(ENOMEM, 0xffff_f000);
    await fails({}, 74, /REQBUFS: ENOMEM \(sizeimage of YUYV 4x2 is 4294963200 bytes\)/);
    refused(EINVAL, 16);
    await fails({}, 74, /REQBUFS: EINVAL$/);
  });
});
