/** CMD_MMAP and CMD_MUNMAP over a fake node and a fake VMM. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { log } from '../../../src/log.js';
import { native } from '../../../src/native.js';
import { buffer, DeviceBench, turns, u32 } from './bench.js';
import { FakeTransport } from './fake-transport.js';

const EIO = 5;
const EACCES = 13;
const EBUSY = 16;
const ENODEV = 19;
const EINVAL = 22;
const EXPBUF = 16;
const UNIT = 0x1_0000;

describe('mapping', () => {
  let bench: DeviceBench;
  let session: number;
  let cookies: number[];
  let exported: number;

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  const boot = async (mode: 'arena' | 'direct') => {
    bench = new DeviceBench('auto', new FakeTransport(16 * UNIT, mode, mode === 'direct'));
    exported = 0;
    bench.node.ioctls.set(EXPBUF, (payload) => {
      exported++;
      payload.writeInt32LE(native.memoryFile('a dmabuf, say', 4096), 16);
      return 0;
    });
    bench.start();
    session = await bench.open();
    assert.equal((await bench.ioctl(session, 8, u32(2, 1, 1, 0, 0))).status, 0);
    cookies = [];
    for (const index of [0, 1])
      cookies.push((await bench.ioctl(session, 9, buffer(index))).payload.readUInt32LE(64));
    exported = 0;
  };
  afterEach(() => bench.close());

  const mmap = (cookie: number, ...more: number[]) =>
    bench.command(u32(4, 0, session, 1, cookie, ...more), 24);
  const munmap = async (address: number) =>
    (await bench.command(u32(5, 0, address % 2 ** 32, Math.floor(address / 2 ** 32)), 8)).status;
  /** CMD_MMAP with these flags. RW is bit 0. */
  const flagged = (cookie: number, flags: number) => bench.command(u32(4, 0, session, flags, cookie), 24);
  const mapped = async (cookie: number) => {
    const { status, payload } = await mmap(cookie);
    assert.equal(status, 0);
    return Number(payload.readBigUInt64LE(0));
  };
  const forget = () => bench.ioctl(session, 8, u32(0, 1, 1, 0, 0));

  it('20 bytes, 24 with an upper half of 0, and more: the offset is 32 bits', async () => {
    await boot('arena');
    const places = new Set<number>();
    for (const more of [[], [0], [0, 0xffff_ffff]]) {
      const { status, length, payload } = await mmap(cookies[1]!, ...more);
      assert.deepEqual([status, length], [0, 24]);
      places.add(Number(payload.readBigUInt64LE(0)));
      assert.equal(payload.readBigUInt64LE(8), 1000n);
    }
    const [place, ...others] = places;
    assert.deepEqual([place! % UNIT, others], [0, []], 'one place, however often it is asked for');
    for (const upper of [1, 0x8000_0000])
      assert.deepEqual(
        [(await mmap(cookies[1]!, upper)).status, (await mmap(cookies[1]!, upper)).length],
        [EINVAL, 8],
      );
  });

  it('the answer is an offset into region 0 and the exact length of the buffer', async () => {
    for (const mode of ['arena', 'direct'] as const) {
      await boot(mode);
      const { payload: queried } = await bench.ioctl(session, 9, buffer(1));
      const { status, length, payload } = await mmap(cookies[1]!);
      assert.deepEqual([status, length], [0, 24]);
      const [place, bytes] = [Number(payload.readBigUInt64LE(0)), Number(payload.readBigUInt64LE(8))];
      assert.equal(bytes, queried.readUInt32LE(72));
      assert.ok(place % UNIT === 0 && place + bytes <= 16 * UNIT, `${place}`);
      const [[start, extent]] = bench.transport.places('map') as [[number, number]];
      assert.ok(start <= place && place + bytes <= start + extent, 'the VMM was asked for it');
      if (mode === 'arena') bench.close();
    }
  });

  it('whatever its flags say, a mapping is the same: it may be written', async () => {
    for (const mode of ['arena', 'direct'] as const) {
      await boot(mode);
      const { payload: writable } = await mmap(cookies[0]!);
      for (const flags of [0, 1, 2, 0xffff_ffff]) {
        const { status, payload } = await flagged(cookies[0]!, flags);
        assert.deepEqual([status, payload], [0, writable], `flags ${flags}`);
      }
      assert.equal(bench.transport.places('map').length, 1);
      if (mode === 'arena') bench.close();
    }
  });

  it('offsets of nobody, of buffers that are gone, of another session', async () => {
    await boot('arena');
    for (const offset of [0, 1, cookies[0]! + 4096, 0xffff_0000])
      assert.equal((await mmap(offset)).status, EINVAL);
    const first = session;
    session = await bench.open();
    assert.equal((await mmap(cookies[0]!)).status, EINVAL);
    session = first;
    await forget();
    assert.equal((await mmap(cookies[0]!)).status, EINVAL);
  });

  it('a refusal of the VMM is its errno, and the next one may be granted', async () => {
    for (const mode of ['arena', 'direct'] as const) {
      await boot(mode);
      for (const errno of [EIO, EBUSY]) {
        bench.transport.errno = errno;
        const { status, length } = await mmap(cookies[0]!);
        assert.deepEqual([status, length], [errno, 8]);
      }
      bench.transport.errno = 0;
      await mapped(cookies[0]!);
      if (mode === 'arena') bench.close();
    }
  });

  it('direct: a plane is exported for each mapping that is made, and the descriptor is not kept', async () => {
    await boot('direct');
    const open = () => readdirSync('/proc/self/fd').length;
    const before = open();
    const first = await mapped(cookies[0]!);
    const second = await mapped(cookies[1]!);
    assert.notEqual(first, second);
    assert.deepEqual(bench.transport.places('map'), [
      [first, 4096],
      [second, 4096],
    ]);
    bench.transport.errno = EIO;
    await forget();
    await bench.ioctl(session, 8, u32(1, 1, 1, 0, 0));
    const cookie = (await bench.ioctl(session, 9, buffer(0))).payload.readUInt32LE(64);
    assert.equal((await mmap(cookie)).status, EIO);
    assert.equal(open(), before);
  });

  it('direct: the same plane twice is one mapping of the VMM, taken back after two MUNMAPs', async () => {
    await boot('direct');
    const address = await mapped(cookies[0]!);
    assert.equal(await mapped(cookies[0]!), address);
    assert.equal(exported, 1);
    await forget();
    assert.equal(await munmap(address), 0);
    assert.deepEqual(bench.transport.places('unmap'), []);
    assert.equal(await munmap(address), 0);
    assert.deepEqual(bench.transport.places('unmap'), [[address, 4096]]);
    assert.equal(await munmap(address), EINVAL);
  });

  it('direct: EXPBUF is the permission check, each time', async () => {
    await boot('direct');
    bench.node.ioctls.set(EXPBUF, () => EACCES);
    const { status, length } = await mmap(cookies[0]!);
    assert.deepEqual([status, length], [EACCES, 8]);
    assert.deepEqual(bench.transport.places('map'), []);
  });

  it('mappings outlive REQBUFS(0) and CLOSE, in both modes', async () => {
    for (const mode of ['arena', 'direct'] as const) {
      await boot(mode);
      const address = await mapped(cookies[0]!);
      await forget();
      assert.equal((await bench.command(u32(2, 0, session, 0), 0)).length, 0);
      assert.deepEqual(bench.transport.places('unmap'), []);
      assert.equal(await munmap(address), 0);
      assert.equal(await munmap(address), EINVAL);
      if (mode === 'arena') bench.close();
    }
  });

  it('a session whose node is gone maps nothing', async () => {
    await boot('arena');
    bench.node.file.ready(0x10);
    await turns();
    assert.equal((await mmap(cookies[0]!)).status, ENODEV);
  });
});
