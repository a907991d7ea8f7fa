/** A device in which the next ioctl of one row is slow. Meanwhile the VM is paused, or the deadline passes. */
import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import type { MediaDeviceOptions } from '../../../../src/media/device.js';
import { Session } from '../../../../src/media/session.js';
import type { NodeCall } from '../../../../src/native.js';
import { MemoryFile } from '../../../../src/virtio/memory-file.js';
import { DeviceBench, type Reply, turns, u32 } from '../bench.js';
import { pass } from '../clock.js';
import { FakeTransport } from '../fake-transport.js';

const [EINTR, ETIMEDOUT] = [4, 110];

const OTHERS: ReadonlySet<NodeCall['kind']> = new Set([
  'edid',
  'allocateRequest',
  'queueRequest',
  'reinitRequest',
  'closeRequest',
]);

/** The early answer of a command: EINTR (the VM is paused) or ETIMEDOUT (the deadline). */
export type Interruption = 'EINTR' | 'ETIMEDOUT';

/** The VMM stops both rings. */
function pause(bench: DeviceBench): void {
  for (const index of [0, 1]) bench.device.queueStopped(index);
  for (const queue of [bench.commandq, bench.eventq]) queue.stop();
}

/** The rings continue at the index at which they stopped. Each gets a new Queue, as in Vring. */
function resume(bench: DeviceBench): void {
  const bases = [bench.commandq.nextAvailable, bench.eventq.nextAvailable] as const;
  bench.commandq = bench.commands.queue({ base: bases[0] });
  bench.eventq = bench.events.queue({ base: bases[1] });
  bench.device.queueStarted(0, bench.commandq);
  bench.device.queueStarted(1, bench.eventq);
}

const interruptions: Readonly<Record<Interruption, { errno: number; run: (bench: DeviceBench) => void }>> = {
  EINTR: {
    errno: EINTR,
    run: (bench) => {
      pause(bench);
      resume(bench);
    },
  },
  ETIMEDOUT: { errno: ETIMEDOUT, run: () => pass(4000) },
};

export class LateStage {
  readonly bench: DeviceBench;
  session!: number;
  /** The Session object. */
  record!: Session;
  /** Number of slow calls that reached the node. */
  executed = 0;
  /** Errno of each slow call; null: the fake's own. */
  errno: number | null = null;
  readonly #mapped: MemoryFile[] = [];
  #isSlow: (call: NodeCall) => boolean = () => false;
  #gate: Promise<void> | null = null;

  private constructor(options: Partial<MediaDeviceOptions>, transport: FakeTransport) {
    this.bench = new DeviceBench('auto', transport, options);
  }

  static async open(
    options: Partial<MediaDeviceOptions> = {},
    transport = new FakeTransport(),
  ): Promise<LateStage> {
    const stage = new LateStage(options, transport);
    stage.bench.start();
    const { open } = Session.prototype;
    Session.prototype.open = function (this: Session) {
      stage.record = this;
      return open.call(this);
    };
    stage.session = await stage.bench.open().finally(() => {
      Session.prototype.open = open;
    });
    const { file } = stage.bench.node;
    const call = file.call.bind(file);
    file.call = (asked) => stage.#call(asked, call);
    return stage;
  }

  close(): void {
    this.bench.close();
    for (const file of this.#mapped) file.close();
  }

  /** Chooses the calls that are slow and counted from now on. */
  slow(isSlow: (call: NodeCall) => boolean): void {
    this.#isSlow = isSlow;
    this.executed = 0;
  }

  /** Sends a request and has it answered early. Resolves after its ioctl has ended. */
  async interrupted(request: Uint8Array, room: number, by: Interruption): Promise<Reply> {
    let open = () => {};
    this.#gate = new Promise((resolve) => {
      open = resolve;
    });
    const before = this.executed;
    const head = this.bench.offer(request, room);
    await turns(20);
    assert.equal(this.executed, before + 1, 'the ioctl is under way');
    interruptions[by].run(this.bench);
    await turns();
    const answer = this.bench.answered(head);
    assert.equal(answer?.status, interruptions[by].errno);
    this.#gate = null;
    open();
    await turns(20);
    return answer;
  }

  /** Every command that runs or waits gets an early answer. */
  interrupt(by: Interruption): void {
    interruptions[by].run(this.bench);
  }

  /** The bytes of CMD_IOCTL for the session. */
  request(nr: number, payload: Uint8Array): Buffer {
    return Buffer.concat([u32(3, 0, this.session, nr), payload]);
  }

  /** Fails if the Session object differs from the state of the driver. */
  compare(type = 1): void {
    const { file } = this.bench.node;
    const queue = this.record.queues.get(type);
    const known = {
      buffers: [...(queue?.buffers.keys() ?? [])],
      queued: [...(queue?.driverHas ?? []), ...(queue?.abandoned ?? [])].sort(),
      streaming: queue?.streaming ?? false,
    };
    const own = {
      buffers: [...file.buffers.keys()],
      queued: [...file.queued, ...file.done].sort(),
      streaming: file.streaming && file.buffers.length > 0,
    };
    assert.deepEqual(known, own);
    const armed = (file.watched.at(-1) ?? 0) & 1;
    assert.equal(
      armed,
      Number(own.streaming && !queue!.failed && !queue!.ended && queue!.isDrained),
      'the watcher',
    );
  }

  async #call(asked: NodeCall, call: (asked: NodeCall) => Promise<number>): Promise<number> {
    if (asked.kind === 'map') {
      this.#mapped.push(new MemoryFile('a host buffer, say', asked.length));
      asked.region = this.#mapped.at(-1)!.region;
      return 0;
    }
    if (!this.#isSlow(asked)) return this.#answers(asked) ?? call(asked);
    this.executed++;
    const gate = this.#gate;
    if (gate) await gate;
    if (this.errno !== null) return this.errno;
    return this.#answers(asked) ?? call(asked);
  }

  /** Answers calls that the fake node does not know. */
  #answers(asked: NodeCall): number | null {
    if (asked.kind === 'allocateRequest') asked.request = openSync('/dev/null', 'r');
    return OTHERS.has(asked.kind) ? 0 : null;
  }
}
