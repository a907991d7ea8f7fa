/** `probe` over a USB camera whose frames lack something: what it records, what it says, and how it ends. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PNG } from 'pngjs';
import { timed, until } from '../support/until.js';
import { decode } from '../unit/client/support/jpeg-turbo.js';
import { CLI, ServeProcess } from './support/serve-process.js';
import { UsbCamera } from './support/usb-camera.js';
import { verifyMjpeg } from './support/usb-camera-frame.js';

const [WIDTH, HEIGHT] = [320, 180];
const MJPEG = ['--format', 'MJPG', '--size', `${WIDTH}x${HEIGHT}`];
const YUYV = ['--format', 'YUYV', '--size', `${WIDTH}x${HEIGHT}`];
/** Bytes of stdout: `inspect --json` prints much. */
const MAX_OUTPUT = 16 << 20;
/** Milliseconds. inspect gives up after 15 s; the rest is for the start of node, and for a call that cannot be ended. */
const INSPECT_MS = 23_000;

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command of the bridge to its end, whatever its exit code is. */
function cli(...words: string[]): Promise<Ended> {
  return new Promise((resolve) =>
    execFile(process.execPath, [CLI, ...words], { maxBuffer: MAX_OUTPUT }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    ),
  );
}

/** The JPEGs of a file. */
function cutMjpeg(bytes: Buffer): Buffer[] {
  const START = Buffer.from([0xff, 0xd8, 0xff]);
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const next = bytes.indexOf(START, at + 1);
    frames.push(bytes.subarray(at, next < 0 ? bytes.length : next));
    at += frames.at(-1)!.length;
  }
  return frames;
}

describe('lab: probe records a USB camera', function () {
  this.timeout(120_000);
  let camera: UsbCamera;
  let server: ServeProcess | undefined;
  let folder: string;
  const path = (name: string) => join(folder, name);
  const socket = () => path('bridge.sock');

  before(async function () {
    camera = await UsbCamera.plugIn(this);
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'probe-'));
  });
  afterEach(async () => {
    await camera.heal();
    await server?.kill();
    server = undefined;
    rmSync(folder, { recursive: true });
  });
  after(() => camera?.end());

  async function serve(node = camera.node): Promise<void> {
    server = await ServeProcess.start(['--device', node, '--socket-path', socket()]);
  }
  const probe = (...words: string[]) => cli('probe', socket(), ...words);
  /** The capture of a run that must end with `code`. */
  async function captured(code: number, ...words: string[]) {
    const ended = await probe(...words, '--json');
    assert.equal(ended.code, code, ended.stderr);
    return { ...ended, capture: JSON.parse(ended.stdout).capture };
  }

  it('whose frames have no end marker: a picture, and every frame of a recording, with every pixel', async () => {
    await serve();
    assert.equal(await camera.tell('endless-frames'), 'ok');
    const { capture } = await captured(0, ...MJPEG, '--frames', '6', '--output', path('a.mjpg'));
    assert.deepEqual([capture.frames, capture.damaged, capture.damage, capture.loss], [6, 0, [], null]);
    const frames = cutMjpeg(readFileSync(path('a.mjpg')));
    const numbers = frames.map((frame) => verifyMjpeg(frame, WIDTH, HEIGHT));
    assert.equal(new Set(numbers).size, 6);
    assert.equal(
      (await captured(0, ...MJPEG, '--frames', '2', '--output', path('a.png'))).capture.loss,
      null,
    );
    assert.equal(
      (await captured(0, ...MJPEG, '--frames', '2', '--output', path('a.jpg'))).capture.loss,
      null,
    );
    verifyMjpeg(readFileSync(path('a.jpg')), WIDTH, HEIGHT);
    const { width, height } = PNG.sync.read(readFileSync(path('a.png')));
    assert.deepEqual([width, height], [WIDTH, HEIGHT]);
  });

  it('of whose MJPEG frames every third is cut: the others, whole', async () => {
    await serve();
    assert.equal(await camera.tell('short-frames 3'), 'ok');
    const { capture } = await captured(0, ...MJPEG, '--frames', '12', '--output', path('a.mjpg'));
    assert.ok(capture.damaged >= 2 && capture.damaged <= 6, `${capture.damaged} damaged`);
    const frames = cutMjpeg(readFileSync(path('a.mjpg')));
    assert.equal(frames.length, 12 - capture.damaged);
    for (const frame of frames) assert.notEqual(verifyMjpeg(frame, WIDTH, HEIGHT) % 3, 0);
    for (const { reason } of capture.damage) assert.match(reason, /premature end|marked/);
    const kept = await captured(
      0,
      ...MJPEG,
      '--frames',
      '12',
      '--damaged',
      'keep',
      '--output',
      path('b.mjpg'),
    );
    assert.ok(kept.capture.damaged >= 2);
    assert.equal(cutMjpeg(readFileSync(path('b.mjpg'))).length, 12);
  });

  it('of whose YUYV frames every third is short: the others, as JPEG and raw', async () => {
    await serve();
    assert.equal(await camera.tell('short-frames 3'), 'ok');
    const jpegs = await captured(0, ...YUYV, '--frames', '9', '--output', path('a.mjpg'));
    const frames = cutMjpeg(readFileSync(path('a.mjpg')));
    assert.equal(frames.length, 9 - jpegs.capture.damaged);
    for (const frame of frames) assert.equal(decode(frame).height, HEIGHT);
    const raw = await captured(0, ...YUYV, '--frames', '9', '--output', path('a.raw'));
    assert.ok(jpegs.capture.damaged > 0 && raw.capture.damaged > 0);
    assert.equal(statSync(path('a.raw')).size, (9 - raw.capture.damaged) * WIDTH * HEIGHT * 2);
  });

  it('all of whose frames are cut: the report, what has arrived of a picture, and exit 74', async () => {
    await serve();
    assert.equal(await camera.tell('short-frames'), 'ok');
    const png = await captured(74, ...MJPEG, '--frames', '3', '--output', path('a.png'));
    assert.match(png.stderr, /all 3 frames came damaged/);
    const { missing } = png.capture.loss;
    assert.ok(missing > 0.35 && missing < 0.65, `${missing} is missing`);
    const { data } = PNG.sync.read(readFileSync(path('a.png')));
    assert.ok(data.subarray(0, WIDTH * 4).some((value) => value !== 128 && value !== 255));
    assert.deepEqual([...data.subarray(-4)], [128, 128, 128, 255]);
    await captured(74, ...YUYV, '--frames', '3', '--output', path('a.mjpg'));
    assert.ok(!existsSync(path('a.mjpg')));
  });

  it('that is pulled: the sentence says so, and how much the file has', async () => {
    await serve();
    const recording = probe(...MJPEG, '--frames', '100000', '--output', path('a.mjpg'));
    await until(() => existsSync(path('a.mjpg')) && statSync(path('a.mjpg')).size > 50_000, 'frames', 30_000);
    await camera.unplug();
    try {
      const { code, stderr } = await recording;
      assert.equal(code, 74);
      assert.match(
        stderr,
        /the device was unplugged, or its driver gave it up: \w+: ENODEV \(.*first \d+ bytes\)/,
      );
      for (const frame of cutMjpeg(readFileSync(path('a.mjpg')))) verifyMjpeg(frame, WIDTH, HEIGHT);
    } finally {
      await camera.replug();
    }
  });

  it('has nothing to record of the metadata node', async () => {
    await serve(camera.metadata);
    const { code, stderr } = await probe('--output', path('a.png'));
    assert.equal(code, 65, stderr);
    assert.match(stderr, /the device is no camera/);
  });

  it('inspect of a camera that answers nothing gives up soon, with what it knows', async () => {
    assert.equal(await camera.tell('silent'), 'ok');
    const { value, ms } = await timed(() => cli('inspect', camera.node));
    assert.ok(ms < INSPECT_MS, `${ms} ms`);
    assert.match(value.stdout, /cannot serve it: it did not answer (everything )?within \d+ s/);
    assert.match(value.stdout, /MJPG/);
  });
});
