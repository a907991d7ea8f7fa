/** What a guest shows on a video output, as seen by an input that is connected to it. */
import assert from 'node:assert/strict';
import type { VmmName } from '../../src/client/vmm-transcripts.js';
import type { MmapMode } from '../../src/media/memory/shared-memory.js';
import { BufferType } from '../../src/v4l2/layout.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { HostQueue, start } from './support/native-mmap-queue.js';
import { NativeNode } from './support/native-node.js';
import { onStage } from './support/stage.js';
import { connectSVideo, isNoise, selectSVideo } from './support/vivid.js';

const VIVID = 'vivid n_devs=1 node_types=0x101';
const INPUT = 'vivid-000-vid-cap';
const OUTPUT = 'vivid-000-vid-out';
/** The size of the output's standard, PAL. */
const WIDTH = 720;
const HEIGHT = 576;
const BUFFERS = 4;
/** Number of the guest's frames that must be seen: more than its buffers contain at first. */
const FRAMES = 2 * BUFFERS + 1;
/** Most pictures to look at for that. Some pictures come twice, and some are noise. */
const MOST = 40 * FRAMES;
/**
 * All bytes of a frame have the same value, which counts frames: it goes from FIRST_BYTE through VALUES numbers, then
 * starts again.
 */
const FIRST_BYTE = 0x40;
const VALUES = 0x80;

const ways: readonly { name: string; mmap: MmapMode; vmm: VmmName }[] = [
  { name: 'arena', mmap: 'arena', vmm: 'qemu' },
  { name: 'direct', mmap: 'direct', vmm: 'crosvm' },
];

/** Shows frames until the queue is stopped. A buffer that comes back is filled and queued at once. */
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

  /** Rejects if anything went wrong. */
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

/** The number that a picture shows; null: it is noise, because the output had no buffer. Throws if it is neither. */
function numberOf(picture: Buffer): number | null {
  const [first] = picture;
  const isOne = picture.subarray(1).equals(picture.subarray(0, -1));
  if (isOne && first! >= FIRST_BYTE && first! < FIRST_BYTE + VALUES) return first! - FIRST_BYTE;
  assert.ok(
    isNoise(picture),
    `neither a whole frame nor noise: ${picture.subarray(0, 32).toString('hex')} ...`,
  );
  return null;
}

/**
 * Connects the input and waits until it is connected: it shows noise then, because nothing is shown on the output yet.
 * vivid starts a thread when it is loaded, which makes the menu of outputs. It may disconnect the input again, so the
 * connection is repeated.
 */
async function connect(seen: HostQueue): Promise<void> {
  for (let looked = 0; ; looked++) {
    assert.ok(looked < MOST, 'the input is not connected');
    if (looked % BUFFERS === 0) await connectSVideo(nodeNamed(INPUT));
    if (isNoise(await picture(seen))) return;
  }
}

/** A copy of the next picture. */
async function picture(seen: HostQueue): Promise<Buffer> {
  const { buffer } = await seen.next();
  const copy = Buffer.from(seen.view(buffer.index)[0]!.subarray(0, buffer.bytesused));
  await seen.queue(buffer.index);
  return copy;
}

/** Looks at pictures until enough of the guest's frames were seen, in order. */
async function watch(seen: HostQueue): Promise<void> {
  const shown = new Set<number>();
  let last = 0;
  for (let looked = 0; shown.size < FRAMES; looked++) {
    assert.ok(looked < MOST, `only ${shown.size} frames of the guest's in ${looked} pictures`);
    const number = numberOf(await picture(seen));
    if (number === null) continue;
    assert.ok((number - last + VALUES) % VALUES < VALUES / 2, `frame ${number} after ${last}`);
    last = number;
    shown.add(number);
  }
}

/** Calls `look` while the input streams. */
function onInput(look: (seen: HostQueue) => Promise<void>): Promise<void> {
  const stream = async (seen: HostQueue) => {
    await seen.setFormat('YUYV', WIDTH, HEIGHT);
    await start(seen, BUFFERS);
    await look(seen);
    await seen.off();
    await seen.release();
  };
  return NativeNode.with(nodeNamed(INPUT), (node) => HostQueue.with(node, BufferType.VIDEO_CAPTURE, stream));
}

describe('lab: video output', function () {
  this.timeout(60_000);

  before(async function () {
    provide(this, VIVID);
    await selectSVideo(nodeNamed(INPUT), nodeNamed(OUTPUT));
    await onInput(connect);
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(() => unload(VIVID));

  for (const { name, mmap, vmm } of ways)
    it(`${name}: an input that is connected to it sees what the guest shows, whole and in order`, () =>
      onStage(nodeNamed(OUTPUT), { frontEnd: { vmm }, serve: { mmap } }, async ({ driver }) => {
        const show = new Show(new GuestQueue(driver, await driver.open(), BufferType.VIDEO_OUTPUT));
        await show.start();
        await onInput(watch);
        await show.end();
      }));
});
