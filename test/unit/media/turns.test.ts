/** Bounds on the work that a guest can cause in one turn. The node is a fake. Memory and rings are real. */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import { Price, TURN_BYTES, Turn } from '../../../src/virtio/turn.js';
import { BUFFERS, GUEST } from '../virtio/bench.js';
import { DeviceBench, u32 } from './bench.js';
import { FakeTransport } from './fake-transport.js';

const MIB = 1 << 20;
const INDIRECT = 4;
const [EINVAL, EFAULT] = [22, 14];
const USERPTR = 2;
const [REQBUFS, QBUF, S_EXT_CTRLS] = [8, 15, 72];
const SUBSCRIBE_EVENT = 90;
const [EVENT_CTRL, SEND_INITIAL] = [3, 1];
const CONTROL = 0x0098_0900;
/** Byte offset of the pages that SG lists name. */
const PAGES = 0x40_0000;
const TABLE = 0x50_0000;

/** Counts the prices by itself, for each turn of the loop, independently of what Turn takes for a turn. */
class Ledger extends Turn {
  most = 0;
  total = 0;
  #now = 0;

  override spend(price: number): void {
    super.spend(price);
    this.#count(price);
  }

  override spendPiece(bytes: number): void {
    super.spendPiece(bytes);
    this.#count(Math.max(Price.PIECE, bytes));
  }

  #count(price: number): void {
    if (this.#now === 0)
      setImmediate(() => {
        this.#now = 0;
      });
    this.#now += price;
    this.total += price;
    this.most = Math.max(this.most, this.#now);
  }
}

describe('the work of one turn', () => {
  let bench: DeviceBench;
  let turn: Ledger;
  /** Bytes and pieces of guest memory that were copied, and the most bytes in one turn. */
  let copied: { bytes: number; pieces: number; mostBytes: number };

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  beforeEach(() => {
    turn = new Ledger();
    bench = new DeviceBench('auto', new FakeTransport(), { turn, sharedPages: true });
    bench.start();
    copied = { bytes: 0, pieces: 0, mostBytes: 0 };
    count();
  });
  afterEach(() => bench.close());

  const count = () => {
    let now = 0;
    for (const name of ['copyOut', 'copyIn'] as const) {
      const copy = bench.memory[name].bind(bench.memory);
      bench.memory[name] = (address, bytes, at, length) => {
        if (now === 0)
          setImmediate(() => {
            now = 0;
          });
        now += length;
        copied.bytes += length;
        copied.pieces++;
        copied.mostBytes = Math.max(copied.mostBytes, now);
        copy(address, bytes, at, length);
      };
    }
    // The readable parts of chains are copied by the addon, each before its chain is popped.
    const pop = bench.commandq.pop.bind(bench.commandq);
    bench.commandq.pop = (...given) => {
      const chain = pop(...given);
      copied.bytes += chain?.readable.length ?? 0;
      return chain;
    };
  };

  /** Checks the limit of a turn of the loop: it may contain two turns of the account, plus the last step of a turn. */
  const isBounded = () => {
    assert.ok(turn.total > 4 * TURN_BYTES, `${turn.total}: too little to prove anything`);
    assert.ok(turn.most <= 2.5 * TURN_BYTES, `${(turn.most / TURN_BYTES).toFixed(1)} turns' work in one`);
    assert.ok(copied.mostBytes <= 2.5 * TURN_BYTES, `${copied.mostBytes} bytes copied in one`);
  };

  const settled = async (heads: readonly number[]) => {
    const { ring } = bench.commands;
    const before = ring.usedIndex;
    ring.offer(...heads);
    bench.device.queueKicked(0);
    while (((ring.usedIndex - before) & 0xffff) < heads.length) await new Promise(setImmediate);
  };

  /** Offers 200 chains of 1 MiB that begin with these words. */
  const offerMany = async (...begin: number[]) => {
    const head = u32(...begin);
    const address = bench.commands.put(0, Buffer.concat([head, Buffer.alloc(MIB - head.length)]));
    const heads = Array.from({ length: 200 }, (_, head) => head);
    for (const head of heads) bench.commands.ring.describe(head, { address, length: MIB });
    await settled(heads);
  };

  it('no answer overtakes its event where the turn is used up in between', async () => {
    const session = await bench.open();
    const { file } = bench.node;
    bench.node.ioctls.set(SUBSCRIBE_EVENT, () => {
      file.events.push(Buffer.alloc(136));
      return 0;
    });
    const call = file.call.bind(file);
    file.call = async (asked) => {
      const errno = await call(asked);
      if (asked.kind === 'dequeueEvent' && errno === 0) turn.spend(TURN_BYTES);
      return errno;
    };
    let before = -1;
    const push = bench.commandq.push.bind(bench.commandq);
    bench.commandq.push = (...given) => {
      before = bench.takeEvents(false).length;
      push(...given);
    };
    const subscription = Buffer.concat([u32(EVENT_CTRL, CONTROL, SEND_INITIAL), Buffer.alloc(20)]);
    assert.equal((await bench.ioctl(session, SUBSCRIBE_EVENT, subscription)).status, 0);
    assert.equal(before, 1);
  });

  it('chains of a MiB that a command may be', async () => {
    await offerMany(3, 0, 12345, S_EXT_CTRLS);
    assert.equal(copied.bytes, 200 * MIB);
    isBounded();
  });

  for (const [what, begin, bytes] of [
    ['no command', [77, 0], 24],
    ['CLOSE', [2, 0, 12345, 0], 24],
    ['an ioctl of nobody', [3, 0, 12345, 999], 16],
    ['G_FMT', [3, 0, 12345, 4], 16 + 208],
    ['S_EDID', [3, 0, 12345, 41], 16 + 40 + 256 * 128],
  ] as const)
    it(`chains of a MiB that begin as ${what}: nobody copies what means nothing`, async () => {
      await offerMany(...begin);
      assert.equal(copied.bytes, 200 * bytes);
    });

  it('a chain of a MiB that ends badly is refused, and nothing of it is copied', async () => {
    const address = bench.commands.put(0, Buffer.alloc(MIB));
    bench.commands.ring.chain(
      0,
      [
        { address, length: MIB },
        { address: 0, length: 1 },
      ],
      [],
    );
    await settled([0]);
    assert.deepEqual(bench.commands.ring.usedElement(bench.commands.ring.usedIndex - 1), {
      id: 0,
      length: 0,
    });
    assert.equal(copied.bytes, 0);
  });

  it('indirect tables of 512 KiB: what is walked is read, and no more', async () => {
    const { ring, ram } = bench.commands;
    ram.bytes.writeBigUInt64LE(BigInt(bench.commands.put(0, u32(77, 0))), TABLE);
    ram.bytes.writeUInt32LE(8, TABLE + 8);
    const heads = Array.from({ length: 200 }, (_, head) => head);
    for (const head of heads)
      ring.describe(head, { address: GUEST + TABLE, length: 512 * 1024, flags: INDIRECT });
    await settled(heads);
    assert.equal(copied.bytes, 200 * 8);
    const { CHAIN, DESCRIPTOR, PIECE } = Price;
    assert.equal(turn.total, 200 * (CHAIN + 2 * DESCRIPTOR + PIECE));
    isBounded();
  });

  /** A command followed by SG entries of 1 byte each, 1 MiB in all. */
  const longList = (head: Buffer, at = (n: number) => GUEST + BUFFERS + PAGES + 2 * (n % 1000)) => {
    const entries = Math.floor((MIB - head.length) / 16);
    const request = Buffer.alloc(head.length + 16 * entries);
    request.set(head);
    for (let n = 0; n < entries; n++) {
      request.writeBigUInt64LE(BigInt(at(n)), head.length + 16 * n);
      request.writeUInt32LE(1, head.length + 16 * n + 8);
    }
    return request;
  };
  /** Offers so many commands at once. Resolves to their statuses. */
  const together = async (request: Buffer, room: number, commands = 64) => {
    const address = bench.commands.put(0x10_0000, request);
    const answer = (n: number) => 0x20_0000 + 256 * n;
    const heads = Array.from({ length: commands }, (_, n) => 2 * n);
    for (const [n, head] of heads.entries()) {
      const output = { address: bench.commands.put(answer(n), Buffer.alloc(256)), length: room };
      bench.commands.ring.chain(head, [{ address, length: request.length }], [output]);
    }
    await settled(heads);
    return new Set(heads.map((_, n) => bench.commands.seen(answer(n), 4).readUInt32LE(0)));
  };

  const controls = (session: number, size: number) =>
    Buffer.concat([u32(3, 0, session, S_EXT_CTRLS, 0, 1, 0, 0, 0, 0, 0, 0), u32(CONTROL, size, 0, 0, 0)]);

  it('lists of a control that do not cover it: refused, and no page is looked at', async () => {
    const session = await bench.open();
    bench.node.traits.set(`payload:${CONTROL}`, true);
    const request = longList(controls(session, MIB));
    copied.bytes = 0;
    assert.deepEqual(await together(request, 60), new Set([EINVAL]));
    assert.ok(copied.bytes < 64 * (request.length + 100));
    isBounded();
  });

  it('lists of a control, one byte each: read and written back in many turns', async () => {
    const session = await bench.open();
    bench.node.traits.set(`payload:${CONTROL}`, true);
    assert.deepEqual(await together(longList(controls(session, 65_000)), 60, 2), new Set([0]));
    assert.equal(bench.node.file.asked(S_EXT_CTRLS).length, 2);
    isBounded();
  });

  it('1024 controls a command', async () => {
    const session = await bench.open();
    const head = u32(3, 0, session, S_EXT_CTRLS, 0, 1024, 0, 0, 0, 0, 0, 0);
    const array = Buffer.concat(Array.from({ length: 1024 }, (_, n) => u32(CONTROL + n, 0, 0, 0, 0)));
    assert.deepEqual(await together(Buffer.concat([head, array]), 60), new Set([0]));
    isBounded();
  });

  const queue = (session: number, length: number) => {
    const record = Buffer.alloc(88);
    record.set(u32(0, 1));
    record.writeUInt32LE(USERPTR, 60);
    record.writeUInt32LE(length, 72);
    return Buffer.concat([u32(3, 0, session, QBUF), record]);
  };
  const openWithPages = async () => {
    const session = await bench.open();
    const { status } = await bench.ioctl(session, REQBUFS, u32(1, 1, USERPTR, 0, 0));
    assert.equal(status, 0);
    return session;
  };

  it('lists of a buffer that do not cover it, or lie outside', async () => {
    const session = await openWithPages();
    assert.deepEqual(await together(longList(queue(session, MIB)), 96), new Set([EINVAL]));
    isBounded();
    const outside = longList(queue(session, 65_000), (n) => (n < 64_000 ? GUEST : 0x1000));
    assert.deepEqual(await together(outside, 96, 8), new Set([EFAULT]));
    isBounded();
  });

  it('lists of a buffer, one byte each, and frames that are copied to them', async () => {
    const session = await openWithPages();
    bench.node.planeLengths = [65_000];
    const request = longList(queue(session, 65_000));
    assert.deepEqual(await together(request, 96, 8), new Set([0, EINVAL]));
    isBounded();
  });

  it('another session has its turns meanwhile', async () => {
    const [busy, other] = [await bench.open(), await bench.open()];
    bench.node.traits.set(`payload:${CONTROL}`, true);
    const request = longList(controls(busy, 65_000));
    const address = bench.commands.put(0x10_0000, request);
    for (let n = 0; n < 4; n++) {
      bench.commands.ring.chain(200 + n, [{ address, length: request.length }], []);
      bench.commands.ring.offer(200 + n);
    }
    bench.device.queueKicked(0);
    await bench.ioctl(other, 38, u32(0));
    assert.ok(bench.node.files[0]!.asked(S_EXT_CTRLS).length < 2, 'only after all that the other one wanted');
  });
});
