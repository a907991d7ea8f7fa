import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { native } from '../../../src/native.js';
import { GuestMemory, GuestMemoryError, MAX_REGIONS } from '../../../src/virtio/guest-memory.js';
import { openDescriptors } from '../../addon/support/process.js';
import { anotherDescriptor, GuestRam } from './driver.js';

const PAGE = 4096;

describe('guest memory', () => {
  let memory: GuestMemory;
  let ram: GuestRam;

  beforeEach(() => {
    memory = new GuestMemory();
    ram = new GuestRam(16 * PAGE);
    for (let at = 0; at < ram.size; at++) ram.bytes[at] = (at * 7 + (at >> 8)) & 0xff;
  });

  afterEach(() => {
    memory.close();
    ram.close();
  });

  const add = (guestAddress: number, size: number, userAddress: number, fileOffset: number) =>
    memory.add({ guestAddress, size, userAddress, fileOffset }, anotherDescriptor(ram.fd));

  const refuses = (run: () => void) => {
    const before = openDescriptors();
    const regions = memory.regions.length;
    assert.throws(run, GuestMemoryError);
    assert.equal(memory.regions.length, regions);
    assert.ok(openDescriptors() <= before, 'a descriptor leaked');
  };

  it('reads a copy and writes through', () => {
    add(0x10000, 4 * PAGE, 0x7000_0000_0000, 0);
    const copy = memory.read(0x10003, 5);
    assert.deepEqual(copy, Buffer.from(ram.bytes.subarray(3, 8)));
    memory.write(0x10003, Buffer.from('hello'));
    assert.equal(ram.bytes.toString('latin1', 3, 8), 'hello');
    assert.notEqual(copy.toString('latin1'), 'hello');
  });

  it('finds the file offset of a region', () => {
    add(0x10000, 2 * PAGE, 0x7000_0000_0000, 3 * PAGE);
    assert.deepEqual(memory.read(0x10000, 16), Buffer.from(ram.bytes.subarray(3 * PAGE, 3 * PAGE + 16)));
  });

  it('walks from region to region at every byte of a border', () => {
    // The two are adjacent in the guest, but not in the file or in the front-end.
    add(0x10000, PAGE, 0x7000_0000_0000, 8 * PAGE);
    add(0x10000 + PAGE, PAGE, 0x7100_0000_0000, 0);
    const whole = Buffer.concat([ram.bytes.subarray(8 * PAGE, 9 * PAGE), ram.bytes.subarray(0, PAGE)]);
    for (let before = 0; before <= 32; before++) {
      const from = PAGE - before;
      assert.deepEqual(memory.read(0x10000 + from, 32), Buffer.from(whole.subarray(from, from + 32)));
      const bytes = Buffer.alloc(32, before + 1);
      bytes.copy(whole, from);
      memory.write(0x10000 + from, bytes);
      assert.deepEqual(memory.read(0x10000 + from, 32), bytes);
    }
  });

  it('refuses what is not all inside', () => {
    add(0x10000, PAGE, 0x7000_0000_0000, 0);
    add(0x10000 + 2 * PAGE, PAGE, 0x7000_1000_0000, 0);
    const outside: [number, number][] = [
      [0xffff, 1],
      [0xffff, 2],
      [0x10000, PAGE + 1],
      [0x10000 + PAGE - 1, PAGE + 2],
      [0x10000 + 3 * PAGE, 1],
      [-1, 4],
      [0.5, 4],
      [0x10000, -1],
      [0x10000, 2 ** 53],
      [2 ** 53, 1],
      [2 ** 64, 1],
      [Number.NaN, 1],
    ];
    for (const [address, length] of outside)
      assert.throws(() => memory.slices(address, length), GuestMemoryError, `${address} ${length}`);
    assert.throws(() => memory.write(0x10000 + PAGE - 1, Buffer.from('xy')), GuestMemoryError);
    assert.equal(ram.bytes[PAGE - 1], ((PAGE - 1) * 7 + ((PAGE - 1) >> 8)) & 0xff, 'half of it was written');
  });

  it('takes length 0 anywhere', () => {
    assert.deepEqual(memory.slices(0, 0), []);
    assert.equal(memory.read(12345, 0).length, 0);
  });

  it('refuses regions that overlap, wrap, are empty or lie at half a page', () => {
    add(0x10000, 2 * PAGE, 0x7000_0000_0000, 0);
    refuses(() => add(0x10000, 2 * PAGE, 0x7100_0000_0000, 0));
    refuses(() => add(0x10000 + PAGE, 2 * PAGE, 0x7100_0000_0000, 0));
    refuses(() => add(0xf000, 2 * PAGE, 0x7100_0000_0000, 0));
    refuses(() => add(0x8000, 64 * PAGE, 0x7100_0000_0000, 0));
    refuses(() => add(2 ** 53 - PAGE, 2 * PAGE, 0x7100_0000_0000, 0));
    refuses(() => add(2 ** 64 - PAGE, 2 * PAGE, 0x7100_0000_0000, 0));
    refuses(() => add(0x90000, PAGE, 2 ** 53 - 1, 0));
    refuses(() => add(0x90000, PAGE, 0x7100_0000_0000, 2 ** 53 - 1));
    refuses(() => add(0x90000, PAGE, 0x7100_0000_0000, 100));
    refuses(() => add(0x90000, 0, 0x7100_0000_0000, 0));
    add(0x10000 + 2 * PAGE, PAGE, 0x7100_0000_0000, 0);
  });

  it('refuses a file that is shorter than the region', () => {
    refuses(() => add(0x90000, 17 * PAGE, 0x7100_0000_0000, 0));
    refuses(() => add(0x90000, 2 * PAGE, 0x7100_0000_0000, 15 * PAGE));
  });

  it('refuses a file that cannot be mapped', () => {
    refuses(() => {
      const region = { guestAddress: 0x90000, size: PAGE, userAddress: 0, fileOffset: 0 };
      memory.add(region, native.eventFd());
    });
    refuses(() => {
      const region = { guestAddress: 0x90000, size: PAGE, userAddress: 0, fileOffset: 0 };
      memory.add(region, openSync('/', 'r'));
    });
  });

  it(`holds ${MAX_REGIONS} regions and no more`, () => {
    for (let index = 0; index < MAX_REGIONS; index++) add(index * 2 * PAGE, PAGE, index * PAGE, 0);
    refuses(() => add(MAX_REGIONS * 2 * PAGE, PAGE, 0, 0));
    assert.equal(memory.read(2 * PAGE * (MAX_REGIONS - 1), PAGE).length, PAGE);
    assert.throws(() => memory.read(PAGE, 1), GuestMemoryError);
  });

  it('knows an opaque region and never touches it', () => {
    memory.addOpaque({ guestAddress: 0x80000, size: PAGE, userAddress: 0x7200_0000_0000, fileOffset: 0 });
    assert.throws(() => memory.read(0x80000, 1), GuestMemoryError);
    assert.equal(memory.ring(0x7200_0000_0000, 16), null);
    refuses(() => add(0x80000, PAGE, 0, 0));
    assert.equal(memory.remove(memory.regions[0]!), true);
    add(0x80000, PAGE, 0, 0);
  });

  it('removes by guest address, size and user address, whatever the file offset', () => {
    add(0x10000, PAGE, 0x7000_0000_0000, PAGE);
    const region = { guestAddress: 0x10000, size: PAGE, userAddress: 0x7000_0000_0000, fileOffset: 0 };
    const [view] = memory.slices(0x10000, 4);
    assert.equal(memory.remove({ ...region, size: 2 * PAGE }), false);
    assert.equal(memory.remove({ ...region, userAddress: 1 }), false);
    assert.equal(memory.remove(region), true);
    assert.equal(memory.remove(region), false);
    assert.throws(() => memory.read(0x10000, 1), GuestMemoryError);
    assert.equal(view?.length, 0, 'a view outlived its mapping');
  });

  it('replaces the whole table', () => {
    add(0x10000, PAGE, 0x7000_0000_0000, 0);
    const region = { guestAddress: 0x50000, size: PAGE, userAddress: 0x7000_0000_0000, fileOffset: PAGE };
    const opaque = { guestAddress: 0x60000, size: PAGE, userAddress: 0x7300_0000_0000, fileOffset: 0 };
    const before = openDescriptors();
    memory.replace([
      { region: opaque, fd: null },
      { region, fd: anotherDescriptor(ram.fd) },
    ]);
    assert.equal(openDescriptors(), before);
    assert.throws(() => memory.read(0x10000, 1), GuestMemoryError);
    assert.equal(memory.read(0x50000, 1)[0], ram.bytes[PAGE]);
    assert.equal(memory.regions.length, 2);
  });

  it('keeps the old table when the new one cannot be', () => {
    add(0x10000, PAGE, 0x7000_0000_0000, 0);
    const good = { guestAddress: 0x50000, size: PAGE, userAddress: 0x7000_0000_0000, fileOffset: 0 };
    const short = { ...good, guestAddress: 0x90000, size: 64 * PAGE };
    for (const bad of [short, { ...good, guestAddress: 0x50800 }]) {
      refuses(() =>
        memory.replace([
          { region: good, fd: anotherDescriptor(ram.fd) },
          { region: bad, fd: anotherDescriptor(ram.fd) },
        ]),
      );
      assert.equal(memory.read(0x10000, 1)[0], ram.bytes[0]);
    }
  });

  it('does not map again what stays where it is', () => {
    const region = { guestAddress: 0x50000, size: PAGE, userAddress: 0x7000_0000_0000, fileOffset: 0 };
    memory.add(region, anotherDescriptor(ram.fd));
    const [view] = memory.slices(0x50000, 4);
    memory.replace([{ region, fd: anotherDescriptor(ram.fd) }]);
    assert.equal(view?.length, 4);
    // Another file at the same place needs a new mapping.
    const other = new GuestRam(PAGE);
    other.bytes.fill(0xee);
    memory.replace([{ region, fd: anotherDescriptor(other.fd) }]);
    assert.equal(view?.length, 0);
    assert.equal(memory.read(0x50000, 1)[0], 0xee);
    other.close();
  });

  it('gives a ring by front-end address when one region holds it', () => {
    add(0x10000, 2 * PAGE, 0x7000_0000_0000, 2 * PAGE);
    add(0x10000 + 2 * PAGE, PAGE, 0x7000_0000_0000 + 2 * PAGE, 0);
    const ring = memory.ring(0x7000_0000_0010, 64) as Uint8Array;
    assert.deepEqual(Buffer.from(ring), Buffer.from(ram.bytes.subarray(2 * PAGE + 16, 2 * PAGE + 80)));
    assert.notEqual(memory.ring(0x7000_0000_0000, 2 * PAGE), null);
    assert.equal(memory.ring(0x7000_0000_0000, 2 * PAGE + 1), null, 'two regions');
    assert.equal(memory.ring(0x6fff_ffff_ffff, 2), null);
    assert.equal(memory.ring(0x10000, 16), null, 'a guest address');
    assert.equal(memory.ring(2 ** 63, 16), null);
    assert.equal(memory.ring(0x7000_0000_0000, 2 ** 40), null);
  });

  it('works across the windows of a large region', () => {
    const { WINDOW_STRIDE, WINDOW_OVERLAP } = native;
    const size = WINDOW_STRIDE + 4 * WINDOW_OVERLAP;
    const fd = native.memoryFile('test-large', size);
    const user = 0x7000_0000_0000;
    memory.add({ guestAddress: 0, size, userAddress: user, fileOffset: 0 }, fd);
    const pattern = Buffer.from('0123456789abcdef');
    for (const before of [0, 1, 8, 15, 16]) {
      memory.write(WINDOW_STRIDE - before, pattern);
      assert.deepEqual(memory.read(WINDOW_STRIDE - before, 16), pattern);
      assert.deepEqual(Buffer.from(memory.ring(user + WINDOW_STRIDE - before, 16) as Uint8Array), pattern);
    }
    const [first] = memory.slices(WINDOW_STRIDE - 4, WINDOW_OVERLAP);
    assert.equal(first?.length, WINDOW_OVERLAP, 'one window holds what is no longer than the overlap');
    const long = memory.slices(0, WINDOW_STRIDE + 3 * WINDOW_OVERLAP);
    assert.equal(
      long.reduce((sum, slice) => sum + slice.length, 0),
      WINDOW_STRIDE + 3 * WINDOW_OVERLAP,
    );
    assert.notEqual(memory.ring(user + WINDOW_STRIDE - 1, WINDOW_OVERLAP), null);
    assert.equal(memory.ring(user, WINDOW_OVERLAP + 1), null);
    assert.throws(() => memory.read(size - 1, 2), GuestMemoryError);
  });

  it('closes every descriptor that it was given', () => {
    const before = openDescriptors();
    add(0x10000, PAGE, 0, 0);
    const fd = anotherDescriptor(ram.fd);
    memory.replace([{ region: { guestAddress: 0, size: PAGE, userAddress: 0, fileOffset: 0 }, fd }]);
    assert.equal(openDescriptors(), before);
    assert.throws(() => closeSync(fd), /EBADF/);
  });
});
