/** What a guest shows on a video output, as an input that is connected to it sees it. */
import assert from 'node:assert/strict';
import type { DialectName } from '../../src/client/dialects.js';
import type { MmapMode } from '../../src/media/shared-memory.js';
import { BufferType } from '../../src/v4l2/layout.js';
import { HostQueue, start } from './host-queue.js';
import { keepJournal, showJournal } from './journal.js';
import { nodeNamed, provide, unload } from './kernel-modules.js';
import { NativeNode } from './native-node.js';
import { GuestQueue } from './queue.js';
import { onStage } from './stage.js';
import { VividControl } from './vivid.js';

const VIVID = 'vivid n_devs=1 node_types=0x101';
const INPUT = 'vivid-000-vid-cap';
const OUTPUT = 'vivid-000-vid-out';
const BUFFERS = 4;
/** Frames of the guest's that have to be seen: more than its buffers hold at first. */
const FRAMES = 2 * BUFFERS + 1;
/** Pictures that are looked at for that: some come twice, and some are vivid's own. */
const MOST = 40 * FRAMES;
const S_INPUT = 39;
const S_OUTPUT = 47;
/** vivid's inputs in their order: webcam, TV, S-Video, HDMI; its outputs: S-Video, HDMI. */
const S_VIDEO_INPUT = 2;
const S_VIDEO_OUTPUT = 0;
/** What the S-Video input is connected to. */
const S_VIDEO_CONNECTED_TO = 0x00f0_f080;
const S_VIDEO_OUT_OF_000 = 2;
const OSD_NONE = 2;
/** All bytes of a frame are one, which counts frames: from the first, as many as there are, then from the first again. */
const FIRST_BYTE = 0x40;
const VALUES = 0x80;

const ways: readonly { name: string; mmap: MmapMode; dialect: DialectName }[] = [
  { name: 'arena', mmap: 'arena', dialect: 'qemu' },
  { name: 'direct', mmap: 'direct', dialect: 'crosvm' },
];

/** Shows frames for as long as it has the output's queue: what comes back is filled and queued at once. */
class Show {
  #sent = 0;
  #error: Error | undefined;

  constructor(private readonly queue: GuestQueue) {}

  async start(): Promise<void> {
    const { driver, session } = this.queue;
    await start(this.queue, BUFFERS, (index) => this.#fill(index));
    driver.onEvent(session, (event) => {
      try {
        assert.equal(event.kind, 'dqbuf');
        if (event.kind !== 'dqbuf') return;
        this.queue.verify(event);
        const { index } = event.buffer;
        this.queue.queue(index, this.#fill(index)).catch((error: Error) => this.#failed(error));
      } catch (error) {
        this.#failed(error as Error);
      }
    });
  }

  /** Rejects where anything went wrong. */
  async end(): Promise<void> {
    const { driver, session } = this.queue;
    await this.queue.off();
    driver.onEvent(session, undefined);
    if (this.#error) throw this.#error;
    await this.queue.release();
  }

  #failed(error: Error): void {
    this.#error ??= error;
  }

  #fill(index: number) {
    const [bytes] = this.queue.view(index);
    bytes!.fill(FIRST_BYTE + (this.#sent++ % VALUES));
    return { bytesused: bytes!.length, field: 1 };
  }
}

/** The number that a picture shows; null: vivid's noise, which it shows while the output has no buffer. Throws where it is no whole frame of the guest's. */
function numberOf(picture: Buffer): number | null {
  const isGuests = (byte: number) => byte >= FIRST_BYTE && byte < FIRST_BYTE + VALUES;
  const isOne = picture.subarray(1).equals(picture.subarray(0, -1));
  if (isOne && isGuests(picture[0]!)) return picture[0]! - FIRST_BYTE;
  assert.ok(!picture.every(isGuests), 'parts of two frames');
  return null;
}

/** Looks at pictures until enough frames of the guest's were seen: in their order. */
async function watch(seen: HostQueue): Promise<void> {
  await seen.setFormat('YUYV', 720, 576);
  await start(seen, BUFFERS);
  const shown = new Set<number>();
  let last = 0;
  for (let looked = 0; shown.size < FRAMES; looked++) {
    assert.ok(looked < MOST, `only ${shown.size} frames of the guest's in ${looked} pictures`);
    const { buffer } = await seen.next();
    const number = numberOf(Buffer.from(seen.view(buffer.index)[0]!.subarray(0, buffer.bytesused)));
    await seen.queue(buffer.index);
    if (number === null) continue;
    assert.ok((number - last + VALUES) % VALUES < VALUES / 2, `frame ${number} after ${last}`);
    last = number;
    shown.add(number);
  }
  await seen.off();
  await seen.release();
}

describe('lab: video output', function () {
  this.timeout(60_000);

  before(async function () {
    provide(this, VIVID);
    const number = (value: number) => Buffer.from([value, 0, 0, 0]);
    await NativeNode.with(nodeNamed(INPUT), (node) => {
      assert.equal(node.ioctl(S_INPUT, number(S_VIDEO_INPUT)).errno, 0);
      node.setControl(VividControl.OSD, OSD_NONE);
      node.setControl(S_VIDEO_CONNECTED_TO, S_VIDEO_OUT_OF_000);
    });
    await NativeNode.with(nodeNamed(OUTPUT), (node) =>
      assert.equal(node.ioctl(S_OUTPUT, number(S_VIDEO_OUTPUT)).errno, 0),
    );
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(() => unload(VIVID));

  for (const { name, mmap, dialect } of ways)
    it(`${name}: an input that is connected to it sees what the guest shows, whole and in order`, () =>
      onStage(nodeNamed(OUTPUT), { frontEnd: { dialect }, serve: { mmap } }, async ({ driver }) => {
        const show = new Show(new GuestQueue(driver, await driver.open(), BufferType.VIDEO_OUTPUT));
        await show.start();
        await NativeNode.with(nodeNamed(INPUT), (node) =>
          HostQueue.with(node, BufferType.VIDEO_CAPTURE, watch),
        );
        await show.end();
      }));
});
