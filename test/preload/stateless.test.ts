/**
 * Programs of the media request API through the bridge (`--requests handles`, docs/stateless.md). They get the same
 * answers from the kernel, and write the same pictures, as in a native run.
 */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { keepJournal, showJournal } from '../lab/support/daemon-log.js';
import { nodeNamed, provide, unload } from '../lab/support/kernel-modules.js';
import { codedSize, encodedPattern } from '../lab/support/native-codec.js';
import { mediaOf } from '../lab/support/native-stateless.js';
import { Bridge } from './support/bridge.js';

const FRAMES = 12;
/** vicodec takes no smaller size. */
const [WIDTH, HEIGHT] = [640, 360];
const PROGRAM = '/tmp/vmb-stateless';
const STREAM = '/tmp/vmb-stateless.fwht';
const PICTURES = '/tmp/vmb-stateless.raw';
const TRACE = '/tmp/vmb-stateless.trace';
const run = promisify(execFile);

interface Outcome {
  readonly heard: string;
  readonly pictures: Buffer;
}

async function outcome(
  command: readonly [string, ...string[]],
  environment: NodeJS.ProcessEnv = {},
): Promise<Outcome> {
  const [program, ...options] = command;
  const env = { ...process.env, ...environment };
  const { stdout, stderr } = await run(program, options, { env, timeout: 60_000 });
  // The library prints a message if the device does something wrong that the program would not notice.
  assert.equal(stderr, '');
  const pictures = readFileSync(PICTURES);
  rmSync(PICTURES);
  return { heard: stdout, pictures };
}

/** Checks that the pictures have 12 bits a pixel each and that no two are the same. */
function assertPictures({ pictures }: Outcome, width: number, height: number): void {
  const bytes = width * height * 1.5;
  assert.equal(pictures.length, FRAMES * bytes);
  const each = Array.from({ length: FRAMES }, (_, n) => pictures.subarray(n * bytes, (n + 1) * bytes));
  assert.equal(new Set(each.map((picture) => picture.toString('latin1'))).size, FRAMES);
}

/** The same command in a guest of a bridge. */
async function bridgedOutcome(
  device: string,
  vmm: 'qemu' | 'crosvm',
  command: readonly [string, ...string[]],
  environment: NodeJS.ProcessEnv = {},
): Promise<Outcome> {
  const bridge = await Bridge.open(device, { requests: 'handles', objects: true });
  try {
    const guest = bridge.environment({ vmm, objects: true, media: mediaOf(device) });
    const bridged = await outcome(command, { ...guest, ...environment, VMB_PRELOAD_TRACE: TRACE });
    const requests = readFileSync(TRACE, 'utf8').match(/IOCTL 193 -> \d+, status 0/g) ?? [];
    rmSync(TRACE);
    assert.ok(requests.length >= FRAMES, 'pictures that did not come through the bridge');
    return bridged;
  } finally {
    await bridge.close();
  }
}

function assertSame(own: Outcome, bridged: Outcome): void {
  assert.equal(bridged.heard, own.heard);
  assert.equal(bridged.pictures.length, own.pictures.length);
  assert.ok(bridged.pictures.equals(own.pictures), 'other pictures');
}

const vmms = ['qemu', 'crosvm'] as const;
const decode = (device: string, raw: string) =>
  [PROGRAM, device, mediaOf(device), raw, STREAM, PICTURES] as const;

for (const multiplanar of [false, true]) {
  const modules = [`vicodec multiplanar=${Number(multiplanar)}`, 'visl'];

  describe(`preload: a native program with media requests, ${multiplanar ? 'multi' : 'single'}-planar`, function () {
    this.timeout(120_000);
    before(async function () {
      provide(this, ...modules);
      const sources = ['stateless.c', 'stateless-refusals.c'].map((name) => `test/preload/${name}`);
      execFileSync('cc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', PROGRAM, ...sources]);
      const frames = await encodedPattern(multiplanar, WIDTH, HEIGHT, FRAMES);
      writeFileSync(STREAM, Buffer.concat(frames.map(({ bytes }) => bytes)));
    });
    beforeEach(keepJournal);
    afterEach(function () {
      showJournal(this.currentTest);
    });
    after(() => unload(...modules));

    // visl has only multi-planar queues, and draws the values that it got for each frame.
    const decoders = [
      { name: 'stateless-decoder', raw: 'YU12', lines: codedSize(HEIGHT) },
      ...(multiplanar ? [{ name: 'visl', raw: 'NV12', lines: HEIGHT }] : []),
    ];
    for (const { name, raw, lines } of decoders)
      for (const vmm of vmms)
        it(`${name}, as a guest of ${vmm}: ${FRAMES} frames, each in a request`, async () => {
          const device = nodeNamed(name);
          const own = await outcome(decode(device, raw));
          assertPictures(own, WIDTH, lines);
          assertSame(own, await bridgedOutcome(device, vmm, decode(device, raw)));
        });
  });
}

interface Codec {
  readonly parser: string;
  readonly decoder: string;
  /** Options of ffmpeg. */
  readonly encoder: readonly string[];
  readonly format: string;
}

const codecs: readonly Codec[] = [
  {
    parser: 'h264parse',
    decoder: 'v4l2slh264dec',
    encoder: ['libx264', '-profile:v', 'main', '-bf', '1', '-g', '6'],
    format: 'h264',
  },
  {
    parser: 'mpegvideoparse',
    decoder: 'v4l2slmpeg2dec',
    encoder: ['mpeg2video', '-bf', '1', '-g', '6'],
    format: 'mpeg2video',
  },
];

/** A test picture of ffmpeg as an elementary stream. */
function encodeTestSource({ encoder, format }: Codec, stream: string): void {
  const source = ['-f', 'lavfi', '-i', 'testsrc=size=320x240:rate=25', '-frames:v', `${FRAMES}`];
  const output = ['-pix_fmt', 'yuv420p', '-c:v', ...encoder, '-f', format, stream];
  execFileSync('ffmpeg', ['-nostdin', '-loglevel', 'error', '-y', ...source, ...output]);
}

describe("preload: GStreamer's v4l2codecs on visl", function () {
  this.timeout(120_000);
  before(function () {
    provide(this, 'visl');
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(() => unload('visl'));

  // The plug-in looks for its devices when it is loaded. This must not happen in a child process, because that would be
  // another guest.
  const environment = { GST_REGISTRY_FORK: 'no' };
  for (const codec of codecs)
    for (const vmm of vmms)
      it(`${codec.decoder}, as a guest of ${vmm}: the pictures of a native run`, async () => {
        const device = nodeNamed('visl');
        encodeTestSource(codec, STREAM);
        const source = ['-q', 'filesrc', `location=${STREAM}`, '!', codec.parser, '!', codec.decoder];
        const pipeline = ['gst-launch-1.0', ...source, '!', 'filesink', `location=${PICTURES}`] as const;
        const own = await outcome(pipeline, environment);
        assertPictures(own, 320, 240);
        assertSame(own, await bridgedOutcome(device, vmm, pipeline, environment));
      });
});
