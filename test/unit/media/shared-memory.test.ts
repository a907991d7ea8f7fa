/** SHM region 0 over a fake transport. The memory is real. */
import assert from 'node:assert/strict';
import { closeSync, fstatSync, ftruncateSync, readdirSync, readFileSync } from 'node:fs';
import { SharedMemory, type SharedMemorySlot } from '../../../src/media/memory/shared-memory.js';
import { native } from '../../../src/native.js';
import { FakeTransport } from './fake-transport.js';

const UNIT = 0x1_0000;
const EINTR = 4;
const EIO = 5;
const ENOMEM = 12;
const EBUSY = 16;
const EINVAL = 22;

/** Bytes of an arena slot. */
function bytes(shared: SharedMemory, slot: SharedMemorySlot): Buffer {
  const { region, offset, length } = shared.memory(slot);
  return Buffer.from(region.windows[0]!, offset, length);
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('shared memory: arena', () => {
  let transport: FakeTransport;
  let shared: SharedMemory;

  beforeEach(() => {
    transport = new FakeTransport(16 * UNIT);
    shared = new SharedMemory(transport, 'auto');
  });
  afterEach(() => shared.close());

  it('is mapped once, whole, before the first mapping is answered', async () => {
    transport.errno = null;
    const [first, second] = [shared.allocate(100)!, shared.allocate(UNIT + 1)!];
    assert.deepEqual([first.offset, second.offset], [0, UNIT]);
    assert.deepEqual([first.length, second.length], [100, UNIT + 1]);
    let answers = 0;
    const both = [shared.mapSlot(first), shared.mapSlot(second)].map((each) => each.finally(() => answers++));
    await turn();
    assert.equal(answers, 0, 'nobody is told before the VMM has mapped it');
    assert.deepEqual(transport.places('map'), [[0, 16 * UNIT]]);
    assert.equal(transport.asked[0]!.fileOffset, 0);
    transport.answer(0);
    assert.deepEqual(await Promise.all(both), [0, 0]);
    assert.deepEqual([first.references, second.references], [1, 1]);
    assert.equal(await shared.mapSlot(first), 0);
    assert.deepEqual([first.references, transport.asked.length], [2, 1], 'a second mapping asks nobody');
  });

  it('a refusal reaches whoever asked, and the next one asks again', async () => {
    const slot = shared.allocate(1)!;
    transport.errno = EIO;
    assert.equal(await shared.mapSlot(slot), EIO);
    assert.equal(slot.references, 0);
    transport.errno = 0;
    assert.equal(await shared.mapSlot(slot), 0);
    assert.equal(transport.places('map').length, 2);
  });

  it('needs no word to the VMM for MUNMAP, fork or split', async () => {
    const slot = shared.allocate(3 * UNIT)!;
    await shared.mapSlot(slot);
    await shared.mapSlot(slot);
    assert.equal(shared.unmap(slot.offset), 0);
    assert.equal(shared.unmap(slot.offset + UNIT + 4096), 0, 'the tail of a split mapping');
    assert.equal(slot.references, 0);
    assert.equal(shared.unmap(slot.offset), 0, 'a fork sends MUNMAP twice');
    assert.equal(slot.references, 0, 'never below none');
    assert.deepEqual(transport.places('unmap'), []);
  });

  it('is nobody’s any more when the VMM has gone: what closes then has nothing to unmap', async () => {
    const slot = shared.allocate(UNIT)!;
    await shared.mapSlot(slot);
    shared.unmap(slot.offset);
    shared.close();
    await shared.settle(true);
    assert.deepEqual(transport.places('unmap'), []);
  });

  it('leaves the window with the last session, before that hears of its end, and comes again', async () => {
    const [one, two] = [shared.allocate(UNIT)!, shared.allocate(UNIT)!];
    for (const slot of [one, two]) await shared.mapSlot(slot);
    shared.unmap(one.offset);
    await shared.settle(true);
    assert.deepEqual(transport.places('unmap'), [], 'somebody still has a buffer mapped');
    shared.unmap(two.offset);
    await shared.settle(false);
    assert.deepEqual(transport.places('unmap'), [], 'a session is open');
    transport.errno = null;
    let settled = false;
    void shared.settle(true).then(() => {
      settled = true;
    });
    await turn();
    assert.deepEqual(transport.places('unmap'), [[0, 16 * UNIT]]);
    const mapped = shared.mapSlot(one);
    await turn();
    assert.deepEqual([settled, transport.waiting], [false, 1], 'nothing is mapped over it');
    transport.answer(0);
    await turn();
    assert.deepEqual([settled, transport.waiting], [true, 1]);
    transport.answer(0);
    assert.equal(await mapped, 0);
    assert.equal(transport.places('map').length, 2);
  });

  it('stays in the window when the VM is paused just then, and is not mapped twice', async () => {
    const slot = shared.allocate(UNIT)!;
    await shared.mapSlot(slot);
    shared.unmap(slot.offset);
    transport.errno = EBUSY;
    const settled = shared.settle(true);
    const mapped = shared.mapSlot(slot);
    await settled;
    assert.equal(await mapped, 0);
    assert.equal(transport.places('map').length, 1);
    shared.unmap(slot.offset);
    transport.errno = 0;
    await shared.settle(true);
    assert.equal(transport.places('unmap').length, 2);
  });

  it('is mapped anew when the guest resets the device while it is being unmapped', async () => {
    const slot = shared.allocate(UNIT)!;
    await shared.mapSlot(slot);
    shared.unmap(slot.offset);
    transport.errno = EBUSY;
    const settled = shared.settle(true);
    shared.reset();
    await settled;
    transport.errno = 0;
    assert.equal(await shared.mapSlot(slot), 0);
    assert.equal(transport.places('map').length, 2);
  });

  it('is mapped anew when the guest resets the device while it is being mapped', async () => {
    transport.errno = null;
    const slot = shared.allocate(1)!;
    const mapped = shared.mapSlot(slot);
    await turn();
    shared.reset();
    transport.answer(0);
    assert.equal(await mapped, EINTR);
    assert.equal(slot.references, 0, 'no mapping of the guest that nobody takes back');
    transport.errno = 0;
    assert.equal(await shared.mapSlot(slot), 0);
    assert.equal(transport.places('map').length, 2);
  });

  it('stays in the window of a VMM that keeps mappings over a reset', async () => {
    const kept = new FakeTransport(16 * UNIT, 'arena', true);
    const other = new SharedMemory(kept, 'auto');
    const slot = other.allocate(UNIT)!;
    await other.mapSlot(slot);
    other.unmap(slot.offset);
    await other.settle(true);
    assert.deepEqual(kept.places('unmap'), []);
    other.close();
  });

  it('MUNMAP of what was never mapped is EINVAL', async () => {
    const slot = shared.allocate(10)!;
    assert.equal(shared.unmap(slot.offset), EINVAL, 'a buffer that the guest was never told the address of');
    assert.equal(await shared.mapSlot(slot), 0);
    for (const address of [UNIT, 15 * UNIT, 16 * UNIT, 2 ** 40, Number.MAX_SAFE_INTEGER, 2 ** 64])
      assert.equal(shared.unmap(address), EINVAL, `${address}`);
    assert.equal(shared.unmap(slot.offset + UNIT - 1), 0, 'its last byte, padding included');
  });

  it('a slot is not given to another buffer before its last MUNMAP', async () => {
    const slot = shared.allocate(8 * UNIT)!;
    await shared.mapSlot(slot);
    bytes(shared, slot).fill(0x77);
    shared.release(slot);
    assert.equal(shared.allocate(9 * UNIT), null, 'half of the region is still the old one');
    assert.equal(shared.unmap(slot.offset), 0);
    assert.equal(shared.unmap(slot.offset), EINVAL, 'now it is gone');
    const next = shared.allocate(16 * UNIT)!;
    assert.equal(next.offset, 0);
    assert.ok(
      bytes(shared, next).every((byte) => byte === 0),
      'another session sees nothing of the first',
    );
  });

  it('a slot stays with its buffer after the last MUNMAP, and goes with it', () => {
    const slot = shared.allocate(16 * UNIT)!;
    assert.equal(shared.allocate(1), null);
    shared.release(slot);
    assert.notEqual(shared.allocate(1), null);
    shared.release(slot);
    assert.equal(shared.allocate(16 * UNIT), null, 'released twice, given back once');
  });

  it('a full region is full', () => {
    assert.equal(shared.allocate(16 * UNIT + 1), null);
    assert.equal(shared.allocate(2 ** 32), null);
    const slots = Array.from({ length: 16 }, () => shared.allocate(1));
    assert.ok(slots.every((slot) => slot !== null));
    assert.equal(shared.allocate(1), null);
  });

  it('after a reset a VMM that drops mappings is asked anew, one that keeps them is not', async () => {
    for (const survives of [false, true]) {
      transport = new FakeTransport(16 * UNIT, 'arena', survives);
      const region = new SharedMemory(transport, 'auto');
      const slot = region.allocate(1)!;
      await region.mapSlot(slot);
      region.release(slot);
      region.reset();
      const [after] = [region.allocate(16 * UNIT)!];
      assert.equal(after.offset, 0, 'no guest mapping keeps a slot over a reset');
      await region.mapSlot(after);
      assert.equal(transport.places('map').length, survives ? 1 : 2);
      region.close();
    }
  });

  it('the arena is sealed: its file cannot shrink under the VMM', async () => {
    await shared.mapSlot(shared.allocate(1)!);
    const { fd } = transport.asked[0]!;
    assert.equal(fstatSync(fd!).size, 16 * UNIT);
    assert.throws(() => ftruncateSync(fd!, 0), { code: 'EPERM' });
  });

  it('the arena goes with the VMM', async () => {
    const arenas = () => readFileSync('/proc/self/maps', 'latin1').split('virtio-media-arena').length;
    await turn();
    const before = [arenas(), readdirSync('/proc/self/fd').length];
    const other = new SharedMemory(transport, 'auto');
    await other.mapSlot(other.allocate(1)!);
    assert.deepEqual([arenas(), readdirSync('/proc/self/fd').length], [before[0]! + 1, before[1]! + 1]);
    other.close();
    await turn();
    assert.deepEqual([arenas(), readdirSync('/proc/self/fd').length], before);
  });

  it('a VMM without shared memory has none', async () => {
    const none = new SharedMemory(new FakeTransport(0), 'auto');
    assert.equal(none.usable, false);
    assert.equal(none.allocate(1), null);
    none.close();
  });
});

describe('shared memory: direct', () => {
  let transport: FakeTransport;
  let shared: SharedMemory;
  let fd: number;

  beforeEach(() => {
    transport = new FakeTransport(16 * UNIT, 'direct', true);
    shared = new SharedMemory(transport, 'auto');
    fd = native.memoryFile('a dmabuf, say', 8192);
  });
  afterEach(() => {
    shared.close();
    closeSync(fd);
  });

  const map = async (length: number): Promise<SharedMemorySlot> => {
    const slot = await shared.mapDescriptor(fd, length);
    if (typeof slot === 'number') assert.fail(`errno ${slot}`);
    return slot;
  };

  it('maps whole pages of the file for a plane, and takes back exactly that', async () => {
    const slot = await map(5000);
    assert.deepEqual([slot.offset, slot.length, slot.references], [0, 5000, 1]);
    assert.deepEqual(transport.asked, [{ what: 'map', fd, fileOffset: 0, offset: 0, length: 8192 }]);
    shared.release(slot);
    assert.equal(transport.places('unmap').length, 0, 'the guest still has it');
    assert.equal(shared.unmap(slot.offset), 0);
    assert.deepEqual(transport.places('unmap'), [[0, 8192]]);
    assert.equal(shared.unmap(slot.offset), EINVAL);
  });

  it('its half of the region leaves the other one to the arena', async () => {
    const arena = shared.allocate(1)!;
    assert.equal(arena.offset, 8 * UNIT);
    assert.equal(shared.memory(arena).offset, 0);
    const slots = [];
    for (let n = 0; n < 8; n++) slots.push(await map(100));
    assert.deepEqual(
      slots.map(({ offset }) => offset),
      [0, 1, 2, 3, 4, 5, 6, 7].map((n) => n * UNIT),
    );
    assert.equal(await shared.mapDescriptor(fd, 100), ENOMEM);
    assert.equal(transport.places('map').length, 8, 'nothing was asked that has no place');
    const rest = Array.from({ length: 8 }, () => shared.allocate(UNIT));
    assert.deepEqual(
      rest.map((slot) => slot?.offset ?? null),
      [9, 10, 11, 12, 13, 14, 15, null].map((n) => n && n * UNIT),
    );
    bytes(shared, rest[6]!).fill(0x77);
    shared.release(rest[6]!);
    assert.ok(
      bytes(shared, shared.allocate(1)!).every((byte) => byte === 0),
      'cleared for the next one',
    );
    await shared.mapSlot(arena);
    assert.deepEqual(transport.places('map').at(-1), [8 * UNIT, 8 * UNIT]);
  });

  it('hands a range out again only after the VMM has confirmed that it is free', async () => {
    const slots = [];
    for (let n = 0; n < 8; n++) slots.push(await map(100));
    transport.errno = null;
    shared.release(slots[3]!);
    shared.unmap(slots[3]!.offset);
    transport.errno = 0;
    assert.equal(await shared.mapDescriptor(fd, 100), ENOMEM, 'the VMM has not answered');
    transport.answer(0);
    assert.equal((await map(100)).offset, 3 * UNIT);
  });

  it('a refusal gives the range back', async () => {
    for (const errno of [EIO, EBUSY, 104]) {
      transport.errno = errno;
      assert.equal(await shared.mapDescriptor(fd, 100), errno);
    }
    transport.errno = 0;
    for (let n = 0; n < 8; n++) await map(100);
  });

  it('an unmapping that fails otherwise is not tried again', async () => {
    for (const [errno, survives] of [
      [EIO, true],
      [EIO, false],
      [EBUSY, false],
    ] as const) {
      transport.survivesReset = survives;
      transport.errno = 0;
      const slot = await map(100);
      shared.release(slot);
      transport.errno = errno;
      assert.equal(shared.unmap(slot.offset), 0);
      await turn();
      transport.errno = 0;
      const asked = transport.asked.length;
      const next = await map(100);
      assert.deepEqual(
        transport.asked.slice(asked).map(({ what }) => what),
        ['map'],
      );
      shared.release(next);
      shared.unmap(next.offset);
      await turn();
    }
  });

  it('what is not mapped any more after a reset is taken back before the next mapping, where the VMM keeps it', async () => {
    const [first, second] = [await map(100), await map(100)];
    for (const slot of [first, second]) shared.release(slot);
    // The rings have stopped, so no request can be sent.
    transport.errno = EBUSY;
    shared.reset();
    await turn();
    const asked = transport.asked.length;
    transport.errno = 0;
    const slot = await map(100);
    assert.deepEqual(
      transport.asked.slice(asked).map(({ what, offset }) => [what, offset]),
      [
        ['unmap', first.offset],
        ['unmap', second.offset],
        ['map', slot.offset],
      ],
    );
    for (let n = 0; n < 7; n++) await map(100);
  });

  for (const survivesReset of [true, false])
    it(`what is being mapped while the guest resets is free again, where the VMM ${survivesReset ? 'keeps' : 'drops'} it`, async () => {
      transport.survivesReset = survivesReset;
      transport.errno = null;
      const mapped = shared.mapDescriptor(fd, 100);
      await turn();
      shared.reset();
      transport.answer(0);
      assert.equal(await mapped, EINTR);
      assert.deepEqual(transport.places('unmap'), survivesReset ? [[0, 8192]] : []);
      if (survivesReset) transport.answer(0);
      transport.errno = 0;
      for (let n = 0; n < 8; n++) await map(100);
    });

  it('what a VMM has dropped at a reset is free at once', async () => {
    transport.survivesReset = false;
    for (let n = 0; n < 8; n++) await map(100);
    const asked = transport.asked.length;
    shared.reset();
    assert.equal(shared.unmap(3 * UNIT), EINVAL, 'nobody has it any more');
    for (let n = 0; n < 8; n++) await map(100);
    assert.deepEqual(
      transport.asked.slice(asked).filter(({ what }) => what === 'unmap'),
      [],
    );
  });

  it('nothing is asked of a VMM that is gone', async () => {
    const slot = await map(100);
    transport.errno = EBUSY;
    shared.unmap(slot.offset);
    shared.close();
    await turn();
    shared.release(slot);
    assert.equal(transport.places('unmap').length, 0);
  });

  it('a long slot is zeroed over turns of the loop, and is nobody else’s until then', async () => {
    const long = new SharedMemory(new FakeTransport(32 << 20), 'arena');
    const slot = long.allocate(32 << 20)!;
    const { region } = long.memory(slot);
    const memory = Buffer.from(region.windows[0]!);
    memory.fill(0x5a);
    long.release(slot);
    assert.equal(memory.at(-1), 0x5a, 'all of it in one turn');
    assert.equal(long.allocate(1), null);
    await long.vacated('arena');
    assert.ok(long.allocate(32 << 20));
    assert.ok(memory.every((byte) => byte === 0));
    long.close();
  });

  it('ends while a slot is being zeroed', async () => {
    const long = new SharedMemory(new FakeTransport(32 << 20), 'arena');
    const slot = long.allocate(32 << 20)!;
    long.memory(slot);
    long.release(slot);
    long.close();
    await long.vacated('arena');
  });
});
