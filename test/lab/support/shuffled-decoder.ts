/** vicodec's stateful decoder of a guest in a shuffle of faults. */
import assert from 'node:assert/strict';
import type { Codec } from '../../../src/client/codec.js';
import { eventually } from '../../addon/support/process.js';
import { Binding } from './binding.js';
import { collect, openDecoder } from './codec-session.js';
import { fwhtFrames, planesOf } from './fwht-stream.js';
import { isNode, isUnloaded, nodeNamed, provide, unload } from './kernel-modules.js';
import { movingPicture } from './moving-picture.js';
import type { ShuffledGuest } from './shuffled-guest.js';
import { decodeNatively, encodeNatively } from './v4l2-ctl-codec.js';

const VICODEC = 'vicodec multiplanar=0';
const DECODER = 'stateful-decoder';
const SIZE = { width: 320, height: 192 };
const FRAMES = 6;

export class ShuffledDecoder {
  #codec!: Codec;

  private constructor(
    private readonly frames: readonly Buffer[],
    private readonly pictures: Buffer,
  ) {}

  static load(context: Mocha.Context): ShuffledDecoder {
    provide(context, VICODEC);
    const raw = Buffer.concat(movingPicture(SIZE.width, SIZE.height, FRAMES, 1));
    const encoded = encodeNatively(nodeNamed('stateful-encoder'), SIZE, raw);
    return new ShuffledDecoder(fwhtFrames(encoded), decodeNatively(nodeNamed(DECODER), encoded));
  }

  get node(): string {
    return nodeNamed(DECODER);
  }

  end(): void {
    unload(VICODEC);
  }

  /** Opens a session and decodes until two pictures are out. */
  async begin(guest: ShuffledGuest): Promise<void> {
    const { deviceCaps } = await guest.frontEnd.readConfig();
    this.#codec = await openDecoder(guest, deviceCaps, this.frames);
    await this.#codec.start();
    let seen = 0;
    for await (const _ of this.#codec.run(planesOf([...this.frames]))) if (++seen === 2) break;
  }

  /** The program in the guest ends, whatever state its session is in. */
  async leave(guest: ShuffledGuest): Promise<void> {
    await guest.kill(this.#codec.sessionId);
  }

  /** A new session decodes the stream bit by bit as the kernel does for a native program. */
  async prove(guest: ShuffledGuest): Promise<void> {
    const { deviceCaps } = await guest.frontEnd.readConfig();
    const codec = await openDecoder(guest, deviceCaps, this.frames);
    await codec.start();
    const decoded = Buffer.concat(await collect(codec, [...this.frames]));
    assert.ok(decoded.equals(this.pictures), 'other pictures than natively');
    await codec.release();
  }

  /** The program moves to the start of the stream, in mid-stream. */
  async seek(): Promise<void> {
    await this.#codec.seek();
    const decoded = Buffer.concat(await collect(this.#codec, [...this.frames]));
    assert.ok(decoded.equals(this.pictures), 'other pictures after a seek');
  }

  async rebind(guest: ShuffledGuest): Promise<void> {
    const binding = new Binding(this.node);
    await binding.unbind();
    await this.leave(guest);
    await binding.bind();
    assert.ok(await eventually(() => isNode(DECODER)), 'no decoder after it was bound again');
  }

  async reloadDriver(context: Mocha.Context, guest: ShuffledGuest): Promise<void> {
    await this.leave(guest);
    assert.ok(await eventually(() => isUnloaded(VICODEC), 5000), 'the daemon still has the decoder open');
    provide(context, VICODEC);
  }
}
