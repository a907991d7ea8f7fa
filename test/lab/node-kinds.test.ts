/** Nodes that are no cameras: VBI, sliced VBI, SDR, metadata, touch and output, with one plane or several. */
import assert from 'node:assert/strict';
import type { VmmName } from '../../src/client/vmm-transcripts.js';
import type { MmapMode } from '../../src/media/memory/shared-memory.js';
import { encoded } from '../../src/struct.js';
import { isMultiplanar } from '../../src/v4l2/buffer-type.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferFlag, BufferType, format as formatRecord } from '../../src/v4l2/layout.js';
import { mappingsOf } from '../addon/support/process.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { type AnyQueue, HostQueue, start } from './support/native-mmap-queue.js';
import { NativeNode } from './support/native-node.js';
import { onStage } from './support/stage.js';
import { selectSVideo, VividControl } from './support/vivid.js';

/** All kinds of nodes except radio. The second device is multi-planar, and stays at its first input, a webcam. */
const VIVID = 'vivid n_devs=2 node_types=0xe0d2d,0xe0d2d multiplanar=1,2';
const BUFFERS = 4;
const FRAMES = 2 * BUFFERS + 1;

const ways: readonly { name: string; mmap: MmapMode; vmm: VmmName }[] = [
  { name: 'arena', mmap: 'arena', vmm: 'qemu' },
  { name: 'direct', mmap: 'direct', vmm: 'crosvm' },
];

interface Frame {
  readonly sequence: number;
  readonly planes: readonly Buffer[];
}

interface Kind {
  readonly name: string;
  readonly node: string;
  readonly type: number;
  /** Called before REQBUFS. */
  readonly prepare?: (queue: AnyQueue) => Promise<void>;
  /** Only for outputs: fills a buffer, and returns fields for its v4l2_buffer. */
  readonly fill?: (planes: readonly Uint8Array[], frame: number) => { bytesused?: number; field?: number };
  /** Checks the frames that came, or the effect of the frames that were shown. */
  readonly judge?: (frames: readonly Frame[]) => Promise<void> | void;
}

/** A node for both kinds of VBI takes the kind of the last S_FMT. */
async function setAgain(queue: AnyQueue): Promise<void> {
  await queue.ioctl(Ioctl.S_FMT, await queue.ioctl(Ioctl.G_FMT, encoded(formatRecord, { type: queue.type })));
}

/** All services: `service_set` of struct v4l2_sliced_vbi_format. */
async function setServices(queue: AnyQueue): Promise<void> {
  await queue.ioctl(Ioctl.S_FMT, encoded(formatRecord, { type: queue.type, fmt: Buffer.from([0xff, 0xff]) }));
}

const kinds: readonly Kind[] = [
  {
    name: 'VBI capture',
    node: 'vivid-000-vbi-cap',
    type: BufferType.VBI_CAPTURE,
    prepare: setAgain,
    judge: judgeRawVbi,
  },
  {
    name: 'sliced VBI capture',
    node: 'vivid-000-vbi-cap',
    type: BufferType.SLICED_VBI_CAPTURE,
    prepare: setServices,
    judge: judgeSlicedVbi,
  },
  {
    name: 'VBI output',
    node: 'vivid-000-vbi-out',
    type: BufferType.VBI_OUTPUT,
    prepare: setAgain,
    fill: full,
  },
  {
    name: 'sliced VBI output',
    node: 'vivid-000-vbi-out',
    type: BufferType.SLICED_VBI_OUTPUT,
    prepare: setServices,
    fill: full,
  },
  { name: 'SDR capture', node: 'vivid-000-sdr-cap', type: BufferType.SDR_CAPTURE, judge: judgeSdr },
  { name: 'META capture', node: 'vivid-001-meta-cap', type: BufferType.META_CAPTURE, judge: judgeMeta },
  {
    name: 'META output',
    node: 'vivid-001-meta-out',
    type: BufferType.META_OUTPUT,
    fill: fillMeta,
    judge: judgeMetaOut,
  },
  { name: 'touch', node: 'vivid-000-touch-cap', type: BufferType.VIDEO_CAPTURE, judge: judgeTouch },
  { name: 'video output', node: 'vivid-000-vid-out', type: BufferType.VIDEO_OUTPUT, fill: full },
  {
    name: 'video output of two planes',
    node: 'vivid-001-vid-out',
    type: BufferType.VIDEO_OUTPUT_MPLANE,
    prepare: (queue) => queue.setFormat('NM16', 720, 480),
    fill: full,
  },
  {
    name: 'video capture of two planes',
    node: 'vivid-001-vid-cap',
    type: BufferType.VIDEO_CAPTURE_MPLANE,
    prepare: (queue) => queue.setFormat('NM16', 320, 180),
  },
];

const FIRST_BYTE = 0x40;
/** Fills the planes with one value, which depends on the frame. */
function full(planes: readonly Uint8Array[], frame: number) {
  for (const plane of planes) plane.fill(FIRST_BYTE + frame);
  return { bytesused: planes[0]!.length, field: 1 };
}

/** The luminance of lines. Not all of them are black. */
function judgeRawVbi(frames: readonly Frame[]): void {
  for (const { planes } of frames)
    assert.ok(
      planes[0]!.some((byte) => byte > 0x40),
      'all lines are blank',
    );
}

/**
 * struct v4l2_sliced_vbi_data: id, field, line, 0, and 48 bytes. PAL has teletext in both fields, and one line of wide
 * screen signalling.
 */
function judgeSlicedVbi(frames: readonly Frame[]): void {
  const TELETEXT_B = 0x0001;
  const WSS_625 = 0x4000;
  const teletext = (field: number) => Array.from({ length: 12 }, (_, i) => [TELETEXT_B, field, 7 + i]);
  for (const { planes } of frames) {
    const bytes = planes[0]!;
    const lines: number[][] = [];
    for (let at = 0; at < bytes.length; at += 64) {
      const line = [0, 4, 8].map((offset) => bytes.readUInt32LE(at + offset));
      if (line[0] !== 0) lines.push(line);
    }
    assert.deepEqual(lines, [...teletext(0), [WSS_625, 0, 23], ...teletext(1)]);
  }
}

/** CU08: I and Q of a carrier with constant amplitude. */
function judgeSdr(frames: readonly Frame[]): void {
  for (const { planes } of frames) {
    const bytes = planes[0]!;
    for (let at = 0; at < bytes.length; at += 2) {
      const radius = Math.hypot(bytes[at]! - 127.5, bytes[at + 1]! - 127.5);
      assert.ok(Math.abs(radius - 127) < 2.5, `a sample of amplitude ${radius}`);
    }
  }
}

/** struct vivid_uvc_meta_buf: time, USB frame, and a UVC payload header with both clocks. */
function judgeMeta(frames: readonly Frame[]): void {
  let last = 0n;
  for (const { planes } of frames) {
    const bytes = planes[0]!;
    assert.ok(bytes.readBigUInt64LE() > last);
    last = bytes.readBigUInt64LE();
    assert.deepEqual([bytes[10], bytes[11]! & 0x8c], [12, 0x8c]);
  }
}

const BRIGHTNESS = 30;

/** struct vivid_meta_out_buf: brightness, contrast, saturation, hue of the camera of the same device. */
function fillMeta([plane]: readonly Uint8Array[], frame: number) {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(BRIGHTNESS + frame, 0);
  bytes.writeUInt16LE(128, 2);
  bytes.writeUInt16LE(128, 4);
  plane!.set(bytes);
  return { bytesused: 8, field: 1 };
}

async function judgeMetaOut(): Promise<void> {
  const value = await NativeNode.with(nodeNamed('vivid-001-vid-cap'), (node) =>
    node.getControl(VividControl.BRIGHTNESS),
  );
  assert.ok(value >= BRIGHTNESS && value < BRIGHTNESS + FRAMES + BUFFERS, `brightness ${value}`);
}

/** Signed 16-bit deltas of pressure. They do not stay the same for long. */
function judgeTouch(frames: readonly Frame[]): void {
  const seen = new Set(frames.map(({ planes }) => planes[0]!.toString('latin1')));
  assert.ok(seen.size > 1, 'nobody touches anything');
}

describe('lab: node kinds', function () {
  this.timeout(30_000);

  before(async function () {
    provide(this, VIVID);
    await selectSVideo(nodeNamed('vivid-000-vid-cap'), nodeNamed('vivid-000-vid-out'));
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(() => unload(VIVID));

  /** Streams for a while. Returns the frames, and the record of each buffer. */
  async function play(kind: Kind, queue: AnyQueue) {
    await kind.prepare?.(queue);
    let frame = 0;
    const fill = (index: number) => kind.fill?.(queue.view(index), frame++) ?? {};
    const buffers = await start(queue, BUFFERS, fill);
    assert.ok(buffers >= BUFFERS);
    const frames: Frame[] = [];
    const told: object[] = [];
    for (let n = 0; n < FRAMES; n++) {
      const { buffer, planes } = await queue.next();
      const { index, type, bytesused, field, length, sequence } = buffer;
      const flags = buffer.flags & ~BufferFlag.MAPPED;
      const count = isMultiplanar(type) ? queue.format.planes.length : 0;
      const used = planes.slice(0, count).map(({ bytesused, length, dataOffset }) => ({
        bytesused,
        length,
        dataOffset,
      }));
      told.push({ index, type, bytesused, field, length, flags, planes: used });
      const live = queue.view(index);
      frames.push({
        sequence,
        planes: live.map((bytes, plane) =>
          Buffer.from(bytes.subarray(0, used[plane]?.bytesused ?? bytesused)),
        ),
      });
      await queue.queue(index, fill(index));
    }
    await queue.off();
    await queue.release();
    return { frames, told, buffers };
  }

  for (const kind of kinds)
    for (const { name, mmap, vmm } of ways)
      it(`${kind.name}, ${name}: as natively, in order`, async () => {
        const path = nodeNamed(kind.node);
        const own = await NativeNode.with(path, (node) => play(kind, new HostQueue(node, kind.type)));
        await kind.judge?.(own.frames);
        await onStage(path, { frontEnd: { vmm }, serve: { mmap } }, async ({ driver, frontEnd }) => {
          const { frames, told, buffers } = await play(
            kind,
            new GuestQueue(driver, await driver.open(), kind.type),
          );
          await kind.judge?.(frames);
          assert.deepEqual(told, own.told);
          assert.deepEqual(
            told.map((each) => (each as { index: number }).index),
            told.map((_, i) => i % buffers),
          );
          assert.ok(frontEnd.sharedMemory.mapped > 0);
          assert.equal(mappingsOf(path), 0, 'the bridge has mapped the node: it copies');
        });
      });
});
