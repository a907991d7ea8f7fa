/** The whole device over a fake node: configuration, turns, limits, resets. */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import { Account } from '../../../src/media/account.js';
import { MediaDevice } from '../../../src/media/device.js';
import { MemoryFile } from '../../../src/virtio/memory-file.js';
import { BUFFERS, GUEST } from '../virtio/bench.js';
import { buffer, DeviceBench, format, turns, u32 } from './bench.js';
import { startClock, stopClock } from './clock.js';

const EIO = 5;
const EBADF = 9;
const EMFILE = 24;

describe('media device', () => {
  let bench: DeviceBench;

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  beforeEach(() => {
    stopClock();
    bench = new DeviceBench();
  });
  afterEach(() => {
    bench.close();
    startClock();
  });

  it('says what the node is, less what a guest has no calls for', () => {
    const { config } = bench.device;
    assert.equal(config.length, 40);
    const raw = Buffer.from(config);
    assert.equal(raw.readUInt32LE(0), 0x0420_0001, 'READWRITE is gone');
    assert.equal(raw.readUInt32LE(4), 0);
    assert.equal(raw.subarray(8).toString('latin1'), `a fake card${'\0'.repeat(21)}`);
  });

  it('a name of 32 bytes and more is cut between characters, and ends with a NUL', () => {
    for (const [card, shown] of [
      ['x'.repeat(40), 'x'.repeat(31)],
      [`${'x'.repeat(30)}é`, 'x'.repeat(30)],
      [`${'x'.repeat(28)}\u{1f4f7}`, 'x'.repeat(28)],
      [`${'x'.repeat(29)}é`, `${'x'.repeat(29)}é`],
      ['Kamera für Büro', 'Kamera für Büro'],
    ] as const) {
      const description = { driver: '', card, busInfo: '', deviceCaps: 1, deviceType: 0 };
      const options = { sharedMemorySize: 0, mmap: 'auto' } as const;
      const raw = Buffer.from(new MediaDevice(bench.node.host, description, options).config.subarray(8));
      assert.equal(raw.length, 32);
      assert.equal(raw.toString('utf8'), shown + '\0'.repeat(32 - Buffer.byteLength(shown)));
    }
  });

  it('OPEN is answered with an identifier that no open session has, and clean reserved words', async () => {
    bench.start();
    const open = async () => {
      const { status, length, payload } = await bench.command(u32(1, 0xdead_beef), 100);
      assert.deepEqual([status, length, payload.readUInt32LE(4)], [0, 16, 0]);
      return payload.readUInt32LE(0);
    };
    const ids = new Set<number>();
    for (let n = 0; n < 100; n++) ids.add(await open());
    assert.equal(ids.size, 100);
    const [closed] = ids;
    assert.equal((await bench.command(u32(2, 0, closed!, 0xdead_beef), 0)).length, 0);
    assert.ok(!ids.has(await open()), 'nor one that a closed one had');
  });

  it('takes commands and event buffers that were there before it started', async () => {
    const head = (() => {
      bench.commands.ring.chain(
        0,
        [{ address: bench.commands.put(0, u32(1, 0)), length: 8 }],
        [{ address: bench.commands.put(4096, Buffer.alloc(16)), length: 16 }],
      );
      bench.commands.ring.offer(0);
      return 0;
    })();
    bench.start();
    await turns();
    assert.deepEqual(bench.commands.ring.usedElement(0), { id: head, length: 16 });
  });

  it('a reset closes every session, and their identifiers are never given again', async () => {
    bench.start();
    const first = await bench.open();
    const { file } = bench.node;
    bench.device.reset();
    await turns();
    assert.ok(file.closed);
    assert.equal((await bench.ioctl(first, 4, format)).status, EBADF);
    assert.ok((await bench.open()) > first);
  });

  it('128 files at most, those counted that are not closed yet', async () => {
    bench.start();
    const sessions: number[] = [];
    while (sessions.length < 128) sessions.push(await bench.open());
    assert.equal((await bench.command(u32(1, 0), 16)).status, EMFILE);
    let closed = () => {};
    bench.node.closing = new Promise((resolve) => {
      closed = resolve;
    });
    for (const session of sessions.slice(0, 50)) bench.offer(u32(2, 0, session, 0), 0);
    await turns();
    assert.equal((await bench.command(u32(1, 0), 16)).status, EMFILE, 'the hardware still has them');
    closed();
    await turns();
    assert.ok((await bench.open()) > sessions.at(-1)!);
  });

  describe('what throws at the file', () => {
    const unhandled: unknown[] = [];
    let others: NodeJS.UnhandledRejectionListener[] = [];
    const bug = () => Promise.reject(new Error('a bug'));

    beforeEach(() => {
      others = process.listeners('unhandledRejection');
      process.removeAllListeners('unhandledRejection');
      process.on('unhandledRejection', (error) => unhandled.push(error));
      bench.start();
    });
    afterEach(async () => {
      await turns();
      process.removeAllListeners('unhandledRejection');
      for (const each of others) process.on('unhandledRejection', each);
      assert.deepEqual(unhandled.splice(0), []);
    });

    it('CLOSE: the chain comes back, and the others go on', async () => {
      const [other, session] = [await bench.open(), await bench.open()];
      bench.node.file.close = bug;
      assert.ok((await bench.command(u32(2, 0, session, 0), 0)) !== null);
      assert.equal((await bench.ioctl(session, 4, format)).status, EBADF);
      assert.equal((await bench.ioctl(other, 4, format)).status, 0);
    });

    it('CLOSE, what comes after the file: the chain comes back', async () => {
      const session = await bench.open();
      bench.transport.unmap = () => {
        throw new Error('a bug');
      };
      await bench.ioctl(session, 8, u32(1, 1, 1, 0, 0));
      const { payload } = await bench.ioctl(session, 9, buffer(0));
      const mapped = await bench.command(u32(4, 0, session, 1, payload.readUInt32LE(64)), 24);
      await bench.command(Buffer.concat([u32(5, 0), mapped.payload.subarray(0, 8)]), 8);
      assert.equal((await bench.command(u32(2, 0, session, 0), 8)).status, EIO);
    });

    it('CLOSE, what the buffers held: the chain comes back, and the file does not count any more', async () => {
      const session = await bench.open();
      await bench.ioctl(session, 8, u32(1, 1, 1, 0, 0));
      const { clear } = MemoryFile.prototype;
      MemoryFile.prototype.clear = () => assert.fail('a bug');
      await bench.command(u32(2, 0, session, 0), 0).finally(() => {
        MemoryFile.prototype.clear = clear;
      });
      assert.equal(Account.of(bench.node.host).files, 0);
    });

    it('OPEN: EIO, and no file is left', async () => {
      const open = bench.node.open.bind(bench.node);
      bench.node.open = (onReady) => Object.assign(open(onReady), { open: bug });
      assert.equal((await bench.command(u32(1, 0), 16)).status, EIO);
      assert.ok(bench.node.file.closed);
      assert.equal(bench.device.sessions, 0);
    });

    it('OPEN before there is a file: EIO', async () => {
      bench.node.open = () => {
        throw new Error('out of descriptors');
      };
      assert.equal((await bench.command(u32(1, 0), 16)).status, EIO);
    });

    it('reset and the end of the VMM: nobody is left waiting', async () => {
      for (let n = 0; n < 2; n++) {
        await bench.open();
        bench.node.file.close = bug;
        await bench.open();
        if (n === 0) bench.device.reset();
        else bench.device.disconnected();
        await bench.device.closed();
        assert.equal(bench.device.closing, 0);
      }
    });
  });

  it('64 commands are under way at most; the rest stays in the ring', async () => {
    bench.start();
    const session = await bench.open();
    const release = bench.node.hold();
    const popped = bench.commandq.popped;
    const heads = Array.from({ length: 100 }, () =>
      bench.offer(Buffer.concat([u32(3, 0, session, 4), format]), 216),
    );
    await turns();
    assert.equal(bench.commandq.popped - popped, 64);
    release();
    await turns(400);
    assert.ok(heads.every((head) => bench.answered(head)?.status === 0));
  });

  it('a guest that never stops offering commands does not keep the loop', async () => {
    bench.start();
    // After each answer, the guest makes another command available before the device looks at the ring again.
    const { ring } = bench.commands;
    ring.chain(
      0,
      [{ address: bench.commands.put(0, u32(77, 0)), length: 8 }],
      [{ address: bench.commands.put(4096, Buffer.alloc(8)), length: 8 }],
    );
    const push = bench.commandq.push.bind(bench.commandq);
    let offered = 1;
    bench.commandq.push = (chain, written) => {
      push(chain, written);
      if (offered++ < 1_000_000) ring.offer(0);
    };
    ring.offer(0);
    bench.device.queueKicked(0);
    assert.ok(offered > 10 && offered < 5000, `${offered} commands in one turn`);
    const before = offered;
    await turns(1);
    assert.ok(offered > before && offered < before + 5000, 'it goes on in the next turn');
    offered = 1_000_000;
  });

  for (const [what, length] of [
    ['of empty descriptors', 0],
    ['of single bytes', 1],
  ] as const)
    it(`long chains ${what}, malformed or not, do not keep the loop`, async () => {
      bench.start();
      const { ring, ram } = bench.commands;
      const TABLE = 0x40_0000;
      const ENTRIES = 32768;
      const table = (last: number) => {
        for (let n = 0; n < ENTRIES; n++) {
          const at = TABLE + 16 * n;
          ram.bytes.writeBigUInt64LE(BigInt(GUEST + BUFFERS), at);
          ram.bytes.writeUInt32LE(length, at + 8);
          ram.bytes.writeUInt16LE(n === ENTRIES - 1 ? last : 1, at + 12);
          ram.bytes.writeUInt16LE((n + 1) % ENTRIES, at + 14);
        }
      };
      ring.describe(0, { address: GUEST + TABLE, length: 16 * ENTRIES, flags: 4 });
      // First a loop, then a chain that ends but contains no command.
      for (const last of [1, 0]) {
        table(last);
        const { popped } = bench.commandq;
        ring.offer(...Array(12).fill(0));
        bench.device.queueKicked(0);
        while (bench.commandq.popped < popped + 12) await turns(1);
        await turns();
        assert.equal(bench.commandq.outstanding, 0);
      }
    });

  it('a subscription too many is ENOMEM', async () => {
    bench.start();
    const session = await bench.open();
    const subscribe = (id: number) =>
      bench.tell(session, 90, Buffer.concat([u32(3, id, 0), Buffer.alloc(20)]));
    for (let id = 0; id < 256; id++) assert.equal((await subscribe(id)).status, 0);
    const ENOMEM = 12;
    assert.equal((await subscribe(256)).status, ENOMEM);
    assert.equal((await subscribe(7)).status, 0, 'one that it has already');
    await bench.tell(session, 91, Buffer.concat([u32(3, 7, 0), Buffer.alloc(20)]));
    assert.equal((await subscribe(256)).status, 0);
    await bench.tell(session, 91, Buffer.concat([u32(0, 0, 0), Buffer.alloc(20)]));
    for (let id = 0; id < 256; id++) assert.equal((await subscribe(id)).status, 0, 'ALL is all of them');
    assert.equal(bench.node.file.asked('dequeueEvent').length, 0, 'no initial event was asked for');
  });

  it('a command whose code throws is answered EIO, and so are those behind it', async () => {
    bench.start();
    const { device } = bench;
    const open = device.open.bind(device);
    device.open = () => {
      device.open = open;
      throw new Error('a bug');
    };
    const EIO = 5;
    assert.equal((await bench.command(u32(1, 0), 16)).status, EIO);
    assert.equal((await bench.command(u32(1, 0), 16)).status, 0);
  });
});
