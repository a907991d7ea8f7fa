/**
 * Which control values a stateless decoder sees for each frame, if its guest knows of no requests. The driver is a fake:
 * it applies a request's values when it decodes the frame, to the values that all frames share, as the kernel does
 * (v4l2_ctrl_request_setup).
 */
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { log } from '../../../src/log.js';
import type { NodeCall } from '../../../src/native.js';
import { DeviceBench, turns, u32 } from './bench.js';

const OUTPUT = 2;
const [REQBUFS, QBUF, STREAMON, STREAMOFF, S_CTRL] = [8, 15, 18, 19, 28];
const [S_EXT_CTRLS, TRY_EXT_CTRLS] = [72, 73];
const ERANGE = 34;
const BUFFERS = 4;
/** The fake refuses it. */
const WRONG = 0xbad;

type Values = Map<number, number>;

class FakeDecoder {
  /** The values that a frame sees if its request has none. */
  readonly current: Values = new Map();
  readonly #requests = new Map<number, Values>();
  readonly #queued: Values[] = [];
  /** What each decoded frame has seen. */
  readonly seen: Values[] = [];

  constructor(private readonly bench: DeviceBench) {
    const { file } = bench.node;
    const run = file.call.bind(file);
    file.call = async (call) => this.#request(call) ?? (await run(call));
    bench.node.controls = (call) => this.#control(call);
    bench.node.ioctls.set(S_CTRL, (payload) =>
      this.#set(this.current, payload.readUInt32LE(0), payload.readUInt32LE(4)),
    );
  }

  #request(call: NodeCall): number | undefined {
    if (call.kind === 'allocateRequest') {
      call.request = openSync('/dev/null', 'r');
      this.#requests.set(call.request, new Map());
    } else if (call.kind === 'reinitRequest') this.#requests.set(call.request, new Map());
    else if (call.kind === 'queueRequest') this.#queued.push(this.#requests.get(call.request)!);
    else if (call.kind !== 'closeRequest') return undefined;
    return 0;
  }

  #control({ nr, array, controls, request }: NodeCall & { kind: 'controls' }): number {
    const raw = Buffer.from(array.buffer, array.byteOffset, array.length);
    const into = request === undefined ? this.current : this.#requests.get(request)!;
    for (let at = 0; at < raw.length; at += 20) {
      const [id, value] = [raw.readUInt32LE(at), raw.readUInt32LE(at + 12)];
      const index = Buffer.from(controls.buffer, controls.byteOffset, controls.length);
      index.writeUInt32LE(nr === TRY_EXT_CTRLS ? at / 20 : raw.length / 20, 8);
      const errno = this.#set(nr === TRY_EXT_CTRLS ? new Map() : into, id, value);
      if (errno !== 0) return errno;
    }
    return 0;
  }

  #set(into: Values, id: number, value: number): number {
    if (value !== WRONG) into.set(id, value);
    return value === WRONG ? ERANGE : 0;
  }

  /** Decodes the next frame, whose OUTPUT buffer comes back. */
  decode(): void {
    for (const [id, value] of this.#queued.shift()!) this.current.set(id, value);
    this.seen.push(new Map(this.current));
    this.bench.node.file.frame();
  }

  stop(): void {
    this.#queued.length = 0;
  }

  get pending(): number {
    return this.#queued.length;
  }
}

describe('implicit requests', () => {
  let bench: DeviceBench;
  let session: number;
  let decoder: FakeDecoder;
  let media: number;

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  beforeEach(async () => {
    media = openSync('/dev/null', 'r');
    bench = new DeviceBench('auto', undefined, { requests: { mode: 'auto', media: { fd: media } } });
    bench.node.memories = [2];
    bench.node.traits.set('userptr:2', true);
    bench.start();
    session = await bench.open();
    decoder = new FakeDecoder(bench);
    assert.equal((await bench.ioctl(session, REQBUFS, u32(BUFFERS, OUTPUT, 1, 0, 0))).status, 0);
  });
  afterEach(() => {
    bench.close();
    closeSync(media);
  });

  const setAll = (...values: [id: number, value: number][]) =>
    bench.ioctl(
      session,
      S_EXT_CTRLS,
      Buffer.concat([
        u32(0, values.length, 0, 0, 0, 0, 0, 0),
        ...values.map(([id, value]) => u32(id, 0, 0, value, 0)),
      ]),
    );
  const set = async (...values: [id: number, value: number][]) =>
    assert.equal((await setAll(...values)).status, 0);
  const setOne = (id: number, value: number) => bench.ioctl(session, S_CTRL, u32(id, value));
  const queue = async (index: number) => {
    const raw = Buffer.alloc(88);
    raw.set(u32(index, OUTPUT));
    raw.writeUInt32LE(1, 60);
    assert.equal((await bench.ioctl(session, QBUF, raw)).status, 0);
  };
  const on = async () => assert.equal((await bench.tell(session, STREAMON, u32(OUTPUT))).status, 0);
  const off = async () => {
    decoder.stop();
    assert.equal((await bench.tell(session, STREAMOFF, u32(OUTPUT))).status, 0);
  };
  const decodeAll = async () => {
    while (decoder.pending > 0) {
      decoder.decode();
      await turns();
      bench.takeEvents();
    }
  };
  const seen = () => decoder.seen.map((values) => [...values].sort(([a], [b]) => a - b));

  it('frames that are queued before the first is decoded: each sees what was set before its QBUF', async () => {
    await set([1, 10]);
    await queue(0);
    await set([2, 20]);
    await queue(1);
    assert.equal((await setOne(1, 11)).status, 0);
    await queue(2);
    await set([1, 12], [3, 30]);
    await queue(3);
    await on();
    await decodeAll();
    assert.deepEqual(seen(), [
      [[1, 10]],
      [
        [1, 10],
        [2, 20],
      ],
      [
        [1, 11],
        [2, 20],
      ],
      [
        [1, 12],
        [2, 20],
        [3, 30],
      ],
    ]);
  });

  it('a frame with no value of its own does not see that of a later frame', async () => {
    await queue(0);
    await set([1, 10]);
    await queue(1);
    await on();
    await decodeAll();
    assert.deepEqual(seen(), [[], [[1, 10]]]);
  });

  it('values that are set while nothing is pending reach the driver at once, as formats depend on them', async () => {
    await set([1, 10]);
    assert.equal(decoder.current.get(1), 10);
    assert.equal((await setOne(2, 20)).status, 0);
    assert.equal(decoder.current.get(2), 20);
  });

  it('values of frames that STREAMOFF has dropped are those of the next frame', async () => {
    await set([1, 10]);
    await queue(0);
    await set([1, 11], [2, 20]);
    await queue(1);
    await on();
    await off();
    await queue(0);
    await on();
    await decodeAll();
    assert.deepEqual(seen(), [
      [
        [1, 11],
        [2, 20],
      ],
    ]);
  });

  it('a value that the driver refuses is refused as S_EXT_CTRLS refuses it, pending frames or not', async () => {
    const refusal = async () => {
      const { status, payload } = await setAll([1, 10], [2, WRONG]);
      return [status, payload.readUInt32LE(8), (await setOne(2, WRONG)).status];
    };
    const before = await refusal();
    assert.deepEqual(before, [ERANGE, 2, ERANGE]);
    await set([1, 11]);
    await queue(0);
    assert.deepEqual(await refusal(), before);
    await queue(1);
    await on();
    await decodeAll();
    assert.deepEqual(seen(), [[[1, 11]], [[1, 11]]]);
  });

  it('any order of settings, QBUFs, decoded frames and STREAMOFFs', async () => {
    let state = 12345;
    const random = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const guest: Values = new Map();
    let expected: Values[] = [];
    const free = new Set([0, 1, 2, 3]);
    const order: number[] = [];
    await on();
    for (let step = 0; step < 400; step++) {
      const [id, value] = [1 + random(3), step];
      const index = [...free][0];
      const what = random(20);
      if (what < 6) {
        await set([id, value]);
        guest.set(id, value);
      } else if (what < 8) {
        assert.equal((await setOne(id, value)).status, 0);
        guest.set(id, value);
      } else if (what < 14 && index !== undefined) {
        await queue(index);
        free.delete(index);
        order.push(index);
        expected.push(new Map(guest));
      } else if (what < 19 && decoder.pending > 0) {
        decoder.decode();
        await turns();
        bench.takeEvents();
        free.add(order.shift()!);
        const wanted = expected.shift()!;
        const last = decoder.seen.at(-1)!;
        for (const [key, each] of wanted) assert.equal(last.get(key), each, `step ${step}: control ${key}`);
      } else if (what === 19) {
        await off();
        expected = [];
        order.length = 0;
        for (const each of [0, 1, 2, 3]) free.add(each);
        await on();
      }
    }
    assert.ok(decoder.seen.length > 50);
  });
});
