/**
 * Media requests on visl, which decodes nothing but draws the values that it got. So the test sees that the values of
 * each request reach it.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { DrawnText } from './support/drawn-text.js';
import { FWHT_PARAMS, fwhtParams } from './support/fwht.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { StatelessDecoder } from './support/native-stateless.js';

const [WIDTH, HEIGHT] = [640, 360];
/**
 * The line that shows the reference of a FWHT frame. The parameter tpg_verbose would add text that differs from run to
 * run.
 */
const REFERENCE_LINE = 4;

/** Flags: three components, YUV, an I frame. */
const frame = {
  version: 3,
  width: WIDTH,
  height: HEIGHT,
  flags: (2 << 16) | (1 << 19) | (1 << 10),
  colorspace: 3,
  transferFunction: 0,
  encoding: 0,
  quantization: 0,
};

/** The major number of a device number as stat(2) gives it; those of V4L2 and media have at most 12 bits. */
const major = (rdev: number) => (rdev >> 8) & 0xfff;

describe('lab: media requests on visl', function () {
  this.timeout(60_000);
  before(function () {
    provide(this, 'visl');
  });
  after(() => unload('visl'));

  it('has the device numbers that udev/virtio-media-bridge@.service allows', () => {
    const unit = readFileSync('udev/virtio-media-bridge@.service', 'utf8');
    const allowed = [...unit.matchAll(/^DeviceAllow=char-(\S+) rw$/gm)].map(([, name]) => name!);
    const majors = allowed.map((name) => {
      const line = new RegExp(`^ *(\\d+) ${name}$`, 'm').exec(readFileSync('/proc/devices', 'utf8'));
      return Number(line?.[1]);
    });
    const devices = [nodeNamed('visl'), ...readdirSync('/dev').filter((name) => /^media\d/.test(name))];
    assert.deepEqual(
      devices
        .map((name) => major(statSync(resolve('/dev', name)).rdev))
        .map((number) => majors.indexOf(number)),
      [0, 1],
    );
  });

  it('shows the values of each request in its picture', () =>
    StatelessDecoder.with(nodeNamed('visl'), true, ['SFWH', 'NV12'], [WIDTH, HEIGHT], async (decoder) => {
      const { output, requests } = decoder;
      const request = await requests.allocate();
      const { bytesperline } = decoder.capture.format.planes[0]!;
      const drawn = new DrawnText();
      await decoder.start();
      const text = (reference: bigint) => `backwards_ref_ts: ${reference}`;
      for (const [number, reference] of [1234567890n, 9876543210n, 4n, 2n ** 62n].entries()) {
        assert.equal(await requests.control(request, FWHT_PARAMS, fwhtParams(frame, reference)), 0);
        await output.queue(0, { bytes: Buffer.alloc(100), timestamp: number + 1, request });
        assert.equal(await requests.queue(request), 0);
        const { capture, bytes } = await decoder.next();
        if (number === 0) drawn.learn(bytes, bytesperline, REFERENCE_LINE, text(reference));
        const length = text(reference).length;
        assert.equal(drawn.read(bytes, bytesperline, REFERENCE_LINE, length), text(reference));
        await decoder.capture.queue(capture);
        await decoder.recycle(request);
      }
    }));
});
