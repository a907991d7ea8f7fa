/**
 * A stream of a capture node with everything else that a guest does in between: commands that threads run and commands
 * that the loop runs, mappings that come and go, pauses of the VMM, STREAMOFF and STREAMON. No frame may be missing, come
 * twice, or show another's bytes.
 */
import assert from 'node:assert/strict';
import { controlIoctl } from '../../src/client/control-ioctls.js';
import type { GuestDriver } from '../../src/client/guest-driver.js';
import type { Vmm } from '../../src/client/vmm.js';
import { encoded } from '../../src/struct.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { fmtdesc, format, streamparm } from '../../src/v4l2/layout.js';
import type { Numbers } from '../bench/numbers.js';
import type { DqbufEvent, GuestQueue } from '../lab/support/guest-queue.js';

const BUFFERS = 8;
const BRIGHTNESS = 0x0098_0900;
/** Frames between two other commands, at most. */
const APART = 40;

/** What a node puts into its frames. */
export interface Content {
  /** A stream begins. */
  begin(): void;
  /** Looks at the next frame. Throws if one is missing or comes twice, or if its bytes are another's. */
  look(frame: DqbufEvent, planes: readonly Uint8Array[]): void;
}

/** By name. */
export type Others = Readonly<Record<string, () => Promise<unknown>>>;

export class MixedStream {
  /** What was done between frames, and how often. */
  readonly done: Record<string, number> = {};

  /** `queue`: its format is set. `more`: what else may be done between frames. */
  constructor(
    private readonly vmm: Vmm,
    private readonly queue: GuestQueue,
    private readonly content: Content,
    private readonly numbers: Numbers,
    private readonly more: Others = {},
  ) {}

  /** Streams so many frames, and does not stop. */
  async run(frames: number): Promise<void> {
    await this.queue.start(BUFFERS);
    this.content.begin();
    const others = Object.entries({ ...this.#others, ...this.more });
    for (let frame = 0, next = 0; frame < frames; frame++) {
      await this.#frame();
      if (frame < next) continue;
      next = frame + 1 + this.numbers.below(APART);
      const [name, other] = others[this.numbers.below(others.length)]!;
      await other();
      this.done[name] = (this.done[name] ?? 0) + 1;
    }
  }

  async end(): Promise<void> {
    await this.queue.off();
    await this.queue.release();
  }

  get #driver(): GuestDriver {
    return this.queue.driver;
  }

  async #frame(): Promise<void> {
    const event = await this.queue.next();
    this.content.look(event, this.queue.bytes(event));
    await this.queue.queue(event.buffer.index);
  }

  readonly #others: Others = {
    G_PARM: () => this.#driver.call(this.queue.session, Ioctl.G_PARM, streamparm, { type: this.queue.type }),
    QUERYBUF: () => this.queue.query(this.numbers.below(BUFFERS)),
    G_INPUT: () => this.queue.ioctl(Ioctl.G_INPUT, Buffer.alloc(4)),
    G_FMT: () => this.queue.ioctl(Ioctl.G_FMT, encoded(format, { type: this.queue.type })),
    ENUM_FMT: () => this.queue.ioctl(Ioctl.ENUM_FMT, encoded(fmtdesc, { type: this.queue.type })),
    G_EXT_CTRLS: async () => {
      const { errno } = await controlIoctl(this.#driver, this.queue.session, Ioctl.G_EXT_CTRLS, [
        { id: BRIGHTNESS },
      ]);
      assert.equal(errno, 0);
    },
    'munmap, mmap': async () => {
      const index = this.numbers.below(BUFFERS);
      await this.queue.unmap(index);
      await this.queue.map(index);
    },
    'OPEN, G_FMT, CLOSE': async () => {
      const other = await this.#driver.open();
      await this.#driver.ioctl(other, Ioctl.G_FMT, encoded(format, { type: this.queue.type }));
      await this.#driver.close(other);
    },
    pause: async () => {
      await this.vmm.stop();
      await this.vmm.start();
    },
    'STREAMOFF, STREAMON': async () => {
      await this.queue.off();
      for (let index = 0; index < BUFFERS; index++) await this.queue.queue(index);
      await this.queue.on();
      this.content.begin();
    },
  };
}
