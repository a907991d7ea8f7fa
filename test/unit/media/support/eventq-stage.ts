/** An eventq with a real queue over test RAM. The test plays the driver. */
import assert from 'node:assert/strict';
import { EventQueue } from '../../../../src/media/events/eventq.js';
import { Bench } from '../../virtio/bench.js';
import { WRITE } from '../../virtio/driver.js';

/** Bytes of a DQBUF event. */
export const DQBUF = 608;

export class EventqStage {
  events = new EventQueue();
  bench = new Bench({ size: 16 });
  queue = this.bench.queue();
  /** Number of descriptors that the driver has made available. */
  given = 0;

  /** Makes `count` descriptors of `length` bytes available and kicks the device. */
  post(count: number, length = DQBUF, flags = WRITE): void {
    const { bench } = this;
    for (let n = 0; n < count; n++) {
      const slot = this.given++ % 16;
      bench.ring.describe(slot, { address: bench.put(1024 * slot, Buffer.alloc(length)), length, flags });
      bench.ring.offer(slot);
    }
    this.events.kicked();
  }

  start(count = 0): void {
    if (count > 0) this.post(count);
    this.events.start(this.queue);
  }

  /** What has come back so far: used length in bytes, and the bytes of the event. */
  sent(): { length: number; bytes: Buffer }[] {
    return Array.from({ length: this.bench.ring.usedIndex }, (_, n) => {
      const { id, length } = this.bench.ring.usedElement(n);
      return { length, bytes: this.bench.seen(1024 * id, DQBUF) };
    });
  }

  lengths(): number[] {
    return this.sent().map(({ length }) => length);
  }

  send(mark: number): void {
    this.events.sendBuffer(7, Buffer.alloc(88, mark), Buffer.alloc(512, mark));
  }

  reserveAndSend(mark: number): void {
    assert.ok(this.events.reserve(never));
    this.send(mark);
  }

  close(): void {
    this.events.stop();
    this.bench.close();
  }
}

export const never = () => assert.fail('nobody is to be resumed');

/** Adds the hooks of a suite. The stage of each test is given to `made`, and is closed after the test. */
export function eventqSuite(made: (stage: EventqStage) => void): void {
  let stage: EventqStage;
  beforeEach(() => {
    stage = new EventqStage();
    made(stage);
  });
  afterEach(() => stage.close());
}
