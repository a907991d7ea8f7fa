/** The account of a node from one VMM to the next. The node is a fake whose close(2) hangs. */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import { Account } from '../../../src/media/account.js';
import { MediaDevice } from '../../../src/media/device.js';
import { defaultPolicy } from '../../../src/media/policy.js';
import { DeviceBench, turns, u32 } from './bench.js';
import { pass, startClock, stopClock } from './clock.js';
import { FakeTransport } from './fake-transport.js';

const ENOMEM = 12;
const EMFILE = 24;
const policy = { ...defaultPolicy, maxSessions: 4, maxDeviceBytes: 4000 };
const request = (count: number) => u32(count, 1, 1, 0, 0);

describe('the account of a node', () => {
  let first: DeviceBench;
  let second: DeviceBench;
  let end: () => void;

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  beforeEach(() => {
    stopClock();
    first = new DeviceBench('auto', new FakeTransport(), { policy });
    first.node.ioctls.set(4, (payload) => {
      payload.writeUInt32LE(1000, 8 + 20);
      return 0;
    });
    first.start();
    // Another device of the same node, which is what the daemon makes for each connection.
    second = new DeviceBench('auto', new FakeTransport(), { policy });
    const description = { driver: '', card: '', busInfo: '', deviceCaps: 1, deviceType: 0 };
    const device = new MediaDevice(first.node.host, description, {
      sharedMemorySize: 1 << 24,
      mmap: 'auto',
      policy,
    });
    Object.assign(second, { node: first.node, device });
    second.start();
  });
  afterEach(() => {
    second.close();
    startClock();
  });

  /** The VMM leaves, but its files are not closed until the test calls `end`. */
  async function hang(): Promise<void> {
    first.node.closing = new Promise((resolve) => {
      end = resolve;
    });
    first.close();
    await turns();
  }

  /** OPEN while files of the earlier VMM are not closed: OPEN waits 1 s for them. Resolves to its status. */
  async function openBesideHung(): Promise<number> {
    const head = second.offer(u32(1, 0), 16);
    await turns();
    pass(1000);
    await turns();
    return second.answered(head)!.payload.readUInt32LE(0);
  }

  it('files that the hardware holds of the last VMM count for the next one', async () => {
    for (let n = 0; n < 4; n++) await first.open();
    assert.equal((await first.command(u32(1, 0), 16)).status, EMFILE);
    await hang();
    assert.equal(first.device.closing, 4);
    assert.equal((await second.command(u32(1, 0), 16)).status, EMFILE);
    assert.equal(first.node.files.length, 4);
    end();
    await first.device.closed();
    assert.equal(first.device.closing, 0);
    await second.open();
  });

  it('bytes too', async () => {
    assert.equal((await first.ioctl(await first.open(), 8, request(3))).payload.readUInt32LE(0), 3);
    await hang();
    const session = await openBesideHung();
    const granted = await second.ioctl(session, 8, request(4));
    assert.deepEqual([granted.status, granted.payload.readUInt32LE(0)], [0, 1]);
    const other = await openBesideHung();
    assert.equal((await second.ioctl(other, 8, request(1))).status, ENOMEM);
    end();
    await first.device.closed();
    assert.equal((await second.ioctl(other, 8, request(4))).payload.readUInt32LE(0), 3);
  });

  it('OPEN waits for files of the VMM before: the driver may let one program in at a time', async () => {
    await first.open();
    await hang();
    const head = second.offer(u32(1, 0), 16);
    await turns();
    assert.equal(second.answered(head), null);
    end();
    await turns();
    assert.equal(second.answered(head)?.status, 0);
  });

  it('and no longer than a second from their end, however many OPENs come', async () => {
    await first.open();
    await hang();
    await openBesideHung();
    await second.open();
    end();
  });

  it('joined pages and lists of pages are the node’s', () => {
    const { linearMappings, lists } = Account.of(first.node.host);
    const other = Account.of(second.node.host);
    assert.deepEqual([other.linearMappings === linearMappings, other.lists === lists], [true, true]);
    first.close();
  });

  it('a file that cannot be closed counts on, and keeps nobody waiting', async () => {
    const sessions = [await first.open(), await first.open()];
    first.node.file.close = () => Promise.reject(new Error('a bug'));
    for (const session of sessions) await first.command(u32(2, 0, session, 0), 0);
    assert.equal(Account.of(first.node.host).files, 1);
    assert.equal(first.device.closing, 0);
    await first.device.closed();
    first.close();
  });
});
