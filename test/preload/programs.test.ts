/** Unmodified programs capture through the bridge. Every byte of every frame is that of the test pattern. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { promisify } from 'node:util';
import { keepJournal, showJournal } from '../lab/support/daemon-log.js';
import { nodeNamed, provide, unload } from '../lab/support/kernel-modules.js';
import { MovingBars, showBars, showMovingBars } from '../lab/support/vivid.js';
import { Bridge } from './support/bridge.js';

const VIVID = 'vivid n_devs=1 node_types=0x1';
const CAMERA = 'vivid-000-vid-cap';
const [WIDTH, HEIGHT, FRAMES] = [320, 180, 100];
const run = promisify(execFile);

interface Program {
  readonly name: string;
  readonly fourcc: 'RGB3' | 'YUYV';
  readonly command: (device: string, output: string) => readonly [string, ...string[]];
}

const size = `${WIDTH}x${HEIGHT}`;
const programs: readonly Program[] = [
  {
    name: 'ffmpeg -f v4l2',
    fourcc: 'YUYV',
    command: (device, output) => {
      const input = ['-f', 'v4l2', '-input_format', 'yuyv422', '-video_size', size, '-i', device];
      const frames = ['-frames:v', `${FRAMES}`, '-f', 'rawvideo', output];
      return [
        'ffmpeg',
        '-nostdin',
        '-loglevel',
        'error',
        '-y',
        ...input,
        '-fps_mode',
        'passthrough',
        ...frames,
      ];
    },
  },
  {
    name: 'gst-launch v4l2src',
    fourcc: 'YUYV',
    command: (device, output) => {
      const caps = `video/x-raw,format=YUY2,width=${WIDTH},height=${HEIGHT}`;
      const source = ['v4l2src', `device=${device}`, `num-buffers=${FRAMES}`];
      return ['gst-launch-1.0', '-q', ...source, '!', caps, '!', 'filesink', `location=${output}`];
    },
  },
  {
    name: 'v4l2-ctl --stream-mmap',
    fourcc: 'RGB3',
    command: (device, output) => {
      const format = `width=${WIDTH},height=${HEIGHT},pixelformat=RGB3`;
      const stream = ['--stream-mmap', `--stream-count=${FRAMES}`, `--stream-to=${output}`];
      return ['v4l2-ctl', '-d', device, `--set-fmt-video=${format}`, ...stream];
    },
  },
  {
    name: 'v4l2-ctl --stream-user',
    fourcc: 'RGB3',
    command: (device, output) => {
      const format = `width=${WIDTH},height=${HEIGHT},pixelformat=RGB3`;
      const stream = ['--stream-user', `--stream-count=${FRAMES}`, `--stream-to=${output}`];
      return ['v4l2-ctl', '-d', device, `--set-fmt-video=${format}`, ...stream];
    },
  },
];

describe('preload: programs', function () {
  this.timeout(180_000);
  // Loaded again for each program, because a program may set a colour space that the next one would keep.
  beforeEach(function () {
    provide(this, VIVID);
    keepJournal();
  });
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(() => unload(VIVID));

  /** Runs a program as a guest, and checks what it has written. `serve`: options of the daemon. */
  async function capture(
    { fourcc, command }: Program,
    vmm: 'qemu' | 'crosvm',
    serve?: Parameters<typeof Bridge.open>[1],
  ): Promise<void> {
    const device = nodeNamed(CAMERA);
    const output = `/tmp/vmb-frames-${process.pid}.raw`;
    await (fourcc === 'RGB3' ? showMovingBars(device) : showBars(device));
    const bridge = await Bridge.open(device, serve);
    try {
      const [program, ...options] = command(device, output);
      await run(program, options, { env: bridge.environment({ vmm }), maxBuffer: 1 << 24 });
    } finally {
      await bridge.close();
    }
    const frames = readFileSync(output);
    rmSync(output);
    const bars = new MovingBars(fourcc, WIDTH, HEIGHT);
    const bytes = WIDTH * HEIGHT * (fourcc === 'RGB3' ? 3 : 2);
    assert.equal(frames.length, FRAMES * bytes);
    const shifts = new Set<number>();
    for (let n = 0; n < FRAMES; n++)
      shifts.add(bars.shiftOf([frames.subarray(n * bytes, (n + 1) * bytes)], `frame ${n}`));
    if (fourcc === 'RGB3') assert.ok(shifts.size > FRAMES / 10, 'the picture does not move');
  }

  for (const program of programs)
    for (const vmm of ['qemu', 'crosvm'] as const)
      it(`${program.name}, as a guest of ${vmm}: ${FRAMES} frames, bit for bit`, () => capture(program, vmm));

  for (const vmm of ['qemu', 'crosvm'] as const)
    it(`ffmpeg asks for 256 buffers, and takes those that fit 1 MiB of SHM region 0, as a guest of ${vmm}`, () =>
      capture(programs[0]!, vmm, { sharedMemorySize: 1 << 20 }));
});
