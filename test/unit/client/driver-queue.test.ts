import assert from 'node:assert/strict';
import { DriverQueue, RingError } from '../../../src/client/driver-queue.js';
import { Heap } from '../../../src/client/heap.js';
import { FlatRam } from './support/flat-ram.js';

const BASE = 0x10_0000;
const SIZE = 4;

/** A queue in flat memory. The test plays the device and writes its side of the ring. */
function setUp(options: { indirect?: boolean; eventIdx?: boolean; size?: number } = {}) {
  const ram = new FlatRam(BASE, 0x1_0000);
  const heap = new Heap(ram, [{ address: BASE, length: 0x1_0000 }]);
  const { indirect = false, eventIdx = false, size = SIZE } = options;
  let kicks = 0;
  const kick = () => {
    kicks++;
  };
  const queue = new DriverQueue(heap, { size, indirect, eventIdx, kick });
  const memory = ram.bytes;
  const places = {
    descriptors: queue.places.descriptors - BASE,
    available: queue.places.available - BASE,
    used: queue.places.used - BASE,
  };
  const device = {
    available: () => memory.readUInt16LE(places.available + 2),
    head: (n: number) => memory.readUInt16LE(places.available + 4 + 2 * (n % size)),
    descriptor: (table: number, slot: number) => ({
      address: Number(memory.readBigUInt64LE(table + 16 * slot)),
      length: memory.readUInt32LE(table + 16 * slot + 8),
      flags: memory.readUInt16LE(table + 16 * slot + 12),
      next: memory.readUInt16LE(table + 16 * slot + 14),
    }),
    use: (n: number, head: number, written: number) => {
      memory.writeUInt32LE(head, places.used + 4 + 8 * (n % size));
      memory.writeUInt32LE(written, places.used + 8 + 8 * (n % size));
      memory.writeUInt16LE((n + 1) & 0xffff, places.used + 2);
    },
    flags: (value: number) => memory.writeUInt16LE(value, places.used),
    availableEvent: (value: number) => memory.writeUInt16LE(value, places.used + 4 + 8 * size),
    usedEvent: () => memory.readUInt16LE(places.available + 4 + 2 * size),
  };
  return { ram, heap, queue, places, device, memory, kicks: () => kicks };
}

const readable = [{ address: 0x11_1111, length: 16 }];
const writable = [
  { address: 0x22_2222, length: 8 },
  { address: 0x33_3333, length: 100 },
];

describe('DriverQueue', () => {
  it('writes a direct chain, readable part first', () => {
    const { queue, places, device } = setUp();
    queue.add(readable, writable);
    assert.equal(device.available(), 1);
    const head = device.head(0);
    const first = device.descriptor(places.descriptors, head);
    assert.deepEqual({ ...first, next: 0 }, { address: 0x11_1111, length: 16, flags: 1, next: 0 });
    const second = device.descriptor(places.descriptors, first.next);
    assert.deepEqual({ ...second, next: 0 }, { address: 0x22_2222, length: 8, flags: 3, next: 0 });
    const third = device.descriptor(places.descriptors, second.next);
    assert.deepEqual(third, { address: 0x33_3333, length: 100, flags: 2, next: 0 });
  });

  it('writes a chain of two and more into an indirect table, and one alone directly', () => {
    const { queue, places, device } = setUp({ indirect: true });
    queue.add(readable, writable);
    const outer = device.descriptor(places.descriptors, device.head(0));
    assert.equal(outer.flags, 4);
    assert.equal(outer.length, 48);
    const table = outer.address - BASE;
    assert.deepEqual(device.descriptor(table, 0), { address: 0x11_1111, length: 16, flags: 1, next: 1 });
    assert.deepEqual(device.descriptor(table, 1), { address: 0x22_2222, length: 8, flags: 3, next: 2 });
    assert.deepEqual(device.descriptor(table, 2), { address: 0x33_3333, length: 100, flags: 2, next: 0 });
    queue.add([], [{ address: 0x44_4444, length: 608 }]);
    const alone = device.descriptor(places.descriptors, device.head(1));
    assert.deepEqual(alone, { address: 0x44_4444, length: 608, flags: 2, next: 0 });
  });

  it('returns tokens with what was written, in the order of the used ring', () => {
    const { queue, device } = setUp();
    const first = queue.add(readable, []);
    const second = queue.add([], writable);
    assert.deepEqual(queue.poll(), []);
    device.use(0, device.head(1), 108);
    device.use(1, device.head(0), 0);
    assert.deepEqual(queue.poll(), [
      { token: second, written: 108 },
      { token: first, written: 0 },
    ]);
    assert.equal(queue.inFlight, 0);
  });

  it('refuses a chain that has no room, and has room again when one comes back', () => {
    const { queue, device } = setUp();
    queue.add(readable, writable);
    assert.throws(() => queue.add(readable, writable), /1 free descriptors, the chain needs 3/);
    assert.throws(() => queue.add([], []), RangeError);
    device.use(0, device.head(0), 8);
    queue.poll();
    queue.add(readable, writable);
    assert.equal(device.available(), 2);
  });

  it('goes round the 16-bit indices and gives every indirect table back', () => {
    const { queue, heap, device } = setUp({ indirect: true, eventIdx: true });
    const available = heap.available;
    for (let n = 0; n < 0x1_0005; n++) {
      const token = queue.add(readable, writable);
      device.use(n, device.head(n), 8);
      assert.deepEqual(queue.poll(), [{ token, written: 8 }]);
    }
    assert.equal(device.available(), 5);
    assert.equal(heap.available, available);
    queue.release();
    assert.equal(heap.available, 0x1_0000);
  });

  it('kicks unless the device has said NO_NOTIFY', () => {
    const { queue, device, kicks } = setUp();
    queue.add(readable, []);
    queue.kick();
    assert.equal(kicks(), 1);
    device.flags(1);
    queue.add(readable, []);
    queue.kick();
    assert.equal(kicks(), 1);
  });

  it('kicks with EVENT_IDX only when the entry that the device waits for is new', () => {
    const { queue, device, kicks } = setUp({ eventIdx: true });
    device.availableEvent(1);
    queue.add(readable, []);
    queue.kick();
    assert.equal(kicks(), 0, 'entry 0 was added, the device waits for entry 1');
    queue.add(readable, []);
    queue.add(readable, []);
    queue.kick();
    assert.equal(kicks(), 1, 'entries 1 and 2 were added');
    queue.kick();
    assert.equal(kicks(), 1, 'nothing was added');
  });

  it('asks with EVENT_IDX to be interrupted for the next used entry', () => {
    const { queue, device } = setUp({ eventIdx: true });
    queue.add(readable, []);
    device.use(0, device.head(0), 0);
    assert.equal(queue.poll().length, 1);
    assert.equal(device.usedEvent(), 1);
  });

  it('refuses a used entry that names no chain', () => {
    const { queue, device } = setUp();
    queue.add(readable, writable);
    device.use(0, 77, 0);
    assert.throws(() => queue.poll(), RingError);
  });

  it('refuses a chain that comes back twice', () => {
    const { queue, device } = setUp();
    queue.add(readable, []);
    device.use(0, device.head(0), 0);
    device.use(1, device.head(0), 0);
    assert.throws(() => queue.poll(), RingError);
  });

  it('refuses a length beyond the writable part', () => {
    const { queue, device } = setUp();
    queue.add(readable, writable);
    device.use(0, device.head(0), 109);
    assert.throws(() => queue.poll(), /109 bytes written to a chain of 108/);
  });

  it('starts from clean memory', () => {
    const { queue, memory, places } = setUp({ eventIdx: true, size: 256 });
    assert.ok(memory.subarray(places.used, places.used + 4 + 8 * 256 + 2).every((byte) => byte === 0));
    assert.equal(queue.availableIndex, 0);
    assert.deepEqual(queue.poll(), []);
  });
});
