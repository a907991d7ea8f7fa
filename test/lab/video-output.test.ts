/** What a guest shows on a video output, as an input that is connected to it sees it. */
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
/** What the output shows in its standard, PAL. */
const WIDTH = 720;
const HEIGHT = 576;
const BUFFERS = 4;
/** Frames of the guest's that have to be seen: more than its buffers hold at first. */
const FRAMES = 2 * BUFFERS + 1;
/** Pictures that are looked at for that: some come twice, and some are noise. */
const MOST = 40 * FRAMES;
/** All bytes of a frame are one, which counts frames: from the first, as many as there are, then from the first again. */
const FIRST_BYTE = 0x40;
const VALUES = 0x80;

const ways: readonly { name: string; mmap: MmapMode; dialect: VmmName }[] = [
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

/** The number that a picture shows; null: noise, where the output had no buffer just then. Throws where it is neither. */
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
 * Connects the input, and looks until it is: it shows noise then, as nobody shows anything yet. A thread that vivid starts
 * when it is loaded, to make the menu of outputs, may come after us and disconnect it.
 */
async function connect(seen: HostQueue): Promise<void> {
  for (let looked = 0; ; looked++) {
    assert.ok(looked < MOST, 'the input is not connected');
    if (looked % BUFFERS === 0) await connectSVideo(nodeNamed(INPUT));
    if (isNoise(await picture(seen))) return;
  }
}

/** A copy of the next one. */
async function picture(seen: HostQueue): Promise<Buffer> {
  const { buffer } = await seen.next();
  const copy = Buffer.from(seen.view(buffer.index)[0]!.subarray(0, buffer.bytesused));
  await seen.queue(buffer.index);
  return copy;
}

/** Looks at pictures until enough frames of the guest's were seen: in their order. */
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

/** While the input streams. */
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

  for (const { name, mmap, dialect } of ways)
    it(`${name}: an input that is connected to it sees what the guest shows, whole and in order`, () =>
      onStage(nodeNamed(OUTPUT), { frontEnd: { vmm: dialect }, serve: { mmap } }, async ({ driver }) => {
        const show = new Show(new GuestQueue(driver, await driver.open(), BufferType.VIDEO_OUTPUT));
        await show.start();
        await onInput(watch);
        await show.end();
      }));
});
