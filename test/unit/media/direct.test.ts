/** SHM region 0 with planes that are mapped on their own, over a fake transport. The memory is real. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { Errno } from '../../../src/errno.js';
import { SharedMemory, type SharedMemorySlot } from '../../../src/media/memory/shared-memory.js';
import { native } from '../../../src/native.js';
import { failure } from '../../../src/result.js';
import { settle } from '../../support/until.js';
import { success } from '../support/success.js';
import { FakeTransport } from './fake-transport.js';
import { bytes, sharedMemorySuite, UNIT } from './support/shared-memory-suite.js';

const { EINTR, EIO, ENOMEM, EBUSY, EINVAL } = Errno;

describe('shared memory: direct', () => {
  let transport: FakeTransport;
  let shared: SharedMemory;
  let fd: number;

  sharedMemorySuite(['direct', true], (...made) => {
    [shared, transport] = made;
  });
  beforeEach(() => {
    fd = native.memoryFile('a dmabuf, say', 8192);
  });
  afterEach(() => closeSync(fd));

  const map = async (length: number): Promise<SharedMemorySlot> => {
    return success(await shared.mapDescriptor(fd, length));
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
    const arena = success(shared.allocate(1));
    assert.equal(arena.offset, 8 * UNIT);
    assert.equal(shared.memory(arena).offset, 0);
    const slots = [];
    for (let n = 0; n < 8; n++) slots.push(await map(100));
    assert.deepEqual(
      slots.map(({ offset }) => offset),
      [0, 1, 2, 3, 4, 5, 6, 7].map((n) => n * UNIT),
    );
    assert.equal(await shared.mapDescriptor(fd, 100), failure(ENOMEM));
    assert.equal(transport.places('map').length, 8, 'nothing was asked that has no place');
    const rest = Array.from({ length: 7 }, () => success(shared.allocate(UNIT)));
    assert.deepEqual(
      rest.map(({ offset }) => offset),
      [9, 10, 11, 12, 13, 14, 15].map((n) => n * UNIT),
    );
    assert.equal(shared.allocate(UNIT), failure(ENOMEM));
    bytes(shared, rest[6]!).fill(0x77);
    shared.release(rest[6]!);
    assert.ok(
      bytes(shared, success(shared.allocate(1))).every((byte) => byte === 0),
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
    assert.equal(await shared.mapDescriptor(fd, 100), failure(ENOMEM), 'the VMM has not answered');
    transport.answer(0);
    assert.equal((await map(100)).offset, 3 * UNIT);
  });

  it('a refusal gives the range back', async () => {
    for (const errno of [EIO, EBUSY, 104]) {
      transport.errno = errno;
      assert.equal(await shared.mapDescriptor(fd, 100), failure(errno));
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
      await settle(1);
      transport.errno = 0;
      const asked = transport.asked.length;
      const next = await map(100);
      assert.deepEqual(
        transport.asked.slice(asked).map(({ what }) => what),
        ['map'],
      );
      shared.release(next);
      shared.unmap(next.offset);
      await settle(1);
    }
  });

  it('what is not mapped any more after a reset is taken back before the next mapping, where the VMM keeps it', async () => {
    const [first, second] = [await map(100), await map(100)];
    for (const slot of [first, second]) shared.release(slot);
    // The rings have stopped, so no request can be sent.
    transport.errno = EBUSY;
    shared.reset();
    await settle(1);
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
      await settle(1);
      shared.reset();
      transport.answer(0);
      assert.equal(await mapped, failure(EINTR));
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
    await settle(1);
    shared.release(slot);
    assert.equal(transport.places('unmap').length, 0);
  });

  it('a long slot is zeroed over turns of the loop, and is nobody else’s until then', async () => {
    const long = new SharedMemory(new FakeTransport(32 << 20), 'arena');
    const slot = success(long.allocate(32 << 20));
    const { region } = long.memory(slot);
    const memory = Buffer.from(region.windows[0]!);
    memory.fill(0x5a);
    long.release(slot);
    assert.equal(memory.at(-1), 0x5a, 'all of it in one turn');
    assert.equal(long.allocate(1), failure(ENOMEM));
    await long.vacated('arena');
    success(long.allocate(32 << 20));
    assert.ok(memory.every((byte) => byte === 0));
    long.close();
  });

  it('ends while a slot is being zeroed', async () => {
    const long = new SharedMemory(new FakeTransport(32 << 20), 'arena');
    const slot = success(long.allocate(32 << 20));
    long.memory(slot);
    long.release(slot);
    long.close();
    await long.vacated('arena');
  });
});
