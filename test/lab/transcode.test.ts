/** `probe --transcode` against `serve`: files through codecs and converters, and the errors of both. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { eventually } from '../addon/support/process.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { movingPicture } from './support/moving-picture.js';
import { convertNatively, decodeNatively, encodeNatively } from './support/v4l2-ctl-codec.js';

const MODULES = ['vicodec multiplanar=0', 'vim2m', 'vivid n_devs=1 node_types=0x1'];
const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
const SIZE = { width: 640, height: 368 };
const OTHER = { width: 720, height: 480 };
const FRAMES = 5;
const run = promisify(execFile);

interface Failure {
  readonly code: number;
  readonly stderr: string;
}

describe('lab: probe --transcode', function () {
  this.timeout(120_000);
  let folder: string;
  let server: ChildProcess | undefined;
  let raw: Buffer;
  let encoded: Buffer;
  let decoded: Buffer;
  let changing: Buffer;

  const file = (name: string) => join(folder, name);

  before(async function () {
    provide(this, ...MODULES);
    folder = mkdtempSync(join(tmpdir(), 'transcode-'));
    raw = Buffer.concat(movingPicture(SIZE.width, SIZE.height, FRAMES));
    const [encoder, decoder] = [nodeNamed('stateful-encoder'), nodeNamed('stateful-decoder')];
    encoded = encodeNatively(encoder, SIZE, raw);
    const other = encodeNatively(encoder, OTHER, Buffer.concat(movingPicture(OTHER.width, OTHER.height, 2)));
    changing = Buffer.concat([encoded, other]);
    decoded = decodeNatively(decoder, changing);
    const nodes = [encoder, decoder, nodeNamed('vim2m'), nodeNamed('vivid-000-vid-cap')];
    const pairs = nodes.flatMap((node, i) => ['--device', node, '--socket-path', file(`${i}.sock`)]);
    server = spawn(process.execPath, [CLI, 'serve', ...pairs], { stdio: ['ignore', 'ignore', 'inherit'] });
    for (const i of nodes.keys())
      assert.ok(await eventually(() => existsSync(file(`${i}.sock`)), 30_000), 'no socket');
  });
  after(async () => {
    if (server) {
      const ended = once(server, 'exit');
      server.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true });
      unload(...MODULES);
    }
  });

  /** `node`: the encoder, the decoder, the converter or the camera. */
  async function transcode(node: 0 | 1 | 2 | 3, input: Buffer, ...more: string[]) {
    writeFileSync(file('in'), input);
    rmSync(file('out'), { force: true });
    const wanted = ['--transcode', file('in'), '--output', file('out'), '--timeout', '60', ...more];
    return run(process.execPath, [CLI, 'probe', file(`${node}.sock`), ...wanted]);
  }

  const failure = (...given: Parameters<typeof transcode>): Promise<Failure> =>
    transcode(...given).then(
      () => assert.fail('it has succeeded'),
      (error: Failure) => error,
    );

  it('encodes raw frames of the format and size that are given', async () => {
    const given = ['--format', 'YU12', '--size', '640x368', '--json'];
    const { stdout, stderr } = await transcode(0, raw, ...given);
    const { transcode: report, capture } = JSON.parse(stdout);
    assert.ok(readFileSync(file('out')).equals(encoded));
    assert.equal(capture, null);
    assert.deepEqual([report.role, report.framesIn, report.framesOut], ['encoder', FRAMES, FRAMES]);
    assert.deepEqual(report.from, { format: 'YU12', width: 640, height: 368 });
    assert.deepEqual([report.to.format, report.outputBytes, report.changes], ['FWHT', encoded.length, []]);
    assert.ok(report.seconds > 0);
    assert.match(stderr, /transcoding 5 frames of YU12 640x368/);
  });

  it('decodes a stream whose resolution changes, and says where', async () => {
    const { stdout } = await transcode(1, changing);
    assert.ok(readFileSync(file('out')).equals(decoded));
    assert.match(stdout, /decoder +FWHT \d+x\d+ to YU12 640x368/);
    assert.match(stdout, /frames +7 in, 7 out in [\d.]+ s \([\d.]+ a second\), 0 damaged, 0 refused/);
    assert.match(stdout, /change +YU12 720x480 from frame 5 on/);
  });

  it('converts: as many frames out as in', async () => {
    // The size of four frames of RGB3 320x240.
    const pictures = Buffer.concat(movingPicture(320, 480, 4));
    const wanted = convertNatively(nodeNamed('vim2m'), { width: 320, height: 240 }, pictures);
    const { stdout } = await transcode(2, pictures, '--format', 'RGB3', '--size', '320x240', '--json');
    const { transcode: report } = JSON.parse(stdout);
    assert.deepEqual([report.role, report.framesIn, report.framesOut], ['converter', 4, 4]);
    assert.ok(readFileSync(file('out')).equals(wanted));
  });

  //  node, input, options, exit code, what the sentence says
  const failures: readonly (readonly [0 | 1 | 3, () => Buffer, readonly string[], number, RegExp])[] = [
    [3, () => raw, [], 65, /not a mem-to-mem device/],
    [0, () => Buffer.alloc(0), [], 65, /in is empty/],
    [0, () => raw.subarray(1), ['--format', 'YU12', '--size', '640x368'], 65, /not a whole number of frames/],
    [0, () => raw, ['--format', 'MJPG'], 74, /does not take MJPG; it offers YU12, /],
    [1, () => raw, [], 65, /in is no FWHT stream: there is no frame header at byte 0/],
    [1, () => encoded.subarray(0, -1), [], 65, /the one at byte \d+ is cut short/],
  ];
  for (const [node, input, options, code, sentence] of failures)
    it(`ends with ${code} and a sentence: ${sentence.source}`, async () => {
      const { code: got, stderr } = await failure(node, input(), ...options);
      assert.match(stderr, sentence);
      assert.equal(got, code);
      assert.equal(existsSync(file('out')), false, 'no file is left');
    });
});
