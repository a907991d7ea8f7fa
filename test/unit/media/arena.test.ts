/** SHM region 0 with the arena, over a fake transport. The memory is real. */
import assert from 'node:assert/strict';
import { fstatSync, ftruncateSync, readdirSync, readFileSync } from 'node:fs';
import { Errno } from '../../../src/errno.js';
import { SharedMemory } from '../../../src/media/memory/shared-memory.js';
import { failure } from '../../../src/result.js';
import { settle } from '../../support/until.js';
import { success } from '../support/success.js';
import { FakeTransport } from './fake-transport.js';
import { bytes, sharedMemorySuite, UNIT } from './support/shared-memory-suite.js';

const { EINTR, EIO, ENOMEM, EBUSY, EINVAL } = Errno;

describe('shared memory: arena', () => {
  let transport: FakeTransport;
  let shared: SharedMemory;

  sharedMemorySuite(['arena', false], (...made) => {
    [shared, transport] = made;
  });

  it('is mapped once, whole, before the first mapping is answered', async () => {
    transport.errno = null;
    const [first, second] = [success(shared.allocate(100)), success(shared.allocate(UNIT + 1))];
    assert.deepEqual([first.offset, second.offset], [0, UNIT]);
    assert.deepEqual([first.length, second.length], [100, UNIT + 1]);
    let answers = 0;
    const both = [shared.mapSlot(first), shared.mapSlot(second)].map((each) => each.finally(() => answers++));
    await settle(1);
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
    const slot = success(shared.allocate(1));
    transport.errno = EIO;
    assert.equal(await shared.mapSlot(slot), EIO);
    assert.equal(slot.references, 0);
    transport.errno = 0;
    assert.equal(await shared.mapSlot(slot), 0);
    assert.equal(transport.places('map').length, 2);
  });

  it('needs no word to the VMM for MUNMAP, fork or split', async () => {
    const slot = success(shared.allocate(3 * UNIT));
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
    const slot = success(shared.allocate(UNIT));
    await shared.mapSlot(slot);
    shared.unmap(slot.offset);
    shared.close();
    await shared.settle(true);
    assert.deepEqual(transport.places('unmap'), []);
  });

  it('leaves SHM region 0 with the last session, before that hears of its end, and comes again', async () => {
    const [one, two] = [success(shared.allocate(UNIT)), success(shared.allocate(UNIT))];
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
    await settle(1);
    assert.deepEqual(transport.places('unmap'), [[0, 16 * UNIT]]);
    const mapped = shared.mapSlot(one);
    await settle(1);
    assert.deepEqual([settled, transport.waiting], [false, 1], 'nothing is mapped over it');
    transport.answer(0);
    await settle(1);
    assert.deepEqual([settled, transport.waiting], [true, 1]);
    transport.answer(0);
    assert.equal(await mapped, 0);
    assert.equal(transport.places('map').length, 2);
  });

  it('stays in SHM region 0 when the VM is paused just then, and is not mapped twice', async () => {
    const slot = success(shared.allocate(UNIT));
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
    const slot = success(shared.allocate(UNIT));
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
    const slot = success(shared.allocate(1));
    const mapped = shared.mapSlot(slot);
    await settle(1);
    shared.reset();
    transport.answer(0);
    assert.equal(await mapped, EINTR);
    assert.equal(slot.references, 0, 'no mapping of the guest that nobody takes back');
    transport.errno = 0;
    assert.equal(await shared.mapSlot(slot), 0);
    assert.equal(transport.places('map').length, 2);
  });

  it('stays in SHM region 0 of a VMM that keeps mappings over a reset', async () => {
    const kept = new FakeTransport(16 * UNIT, 'arena', true);
    const other = new SharedMemory(kept, 'auto');
    const slot = success(other.allocate(UNIT));
    await other.mapSlot(slot);
    other.unmap(slot.offset);
    await other.settle(true);
    assert.deepEqual(kept.places('unmap'), []);
    other.close();
  });

  it('MUNMAP of what was never mapped is EINVAL', async () => {
    const slot = success(shared.allocate(10));
    assert.equal(shared.unmap(slot.offset), EINVAL, 'a buffer that the guest was never told the address of');
    assert.equal(await shared.mapSlot(slot), 0);
    for (const address of [UNIT, 15 * UNIT, 16 * UNIT, 2 ** 40, Number.MAX_SAFE_INTEGER, 2 ** 64])
      assert.equal(shared.unmap(address), EINVAL, `${address}`);
    assert.equal(shared.unmap(slot.offset + UNIT - 1), 0, 'its last byte, padding included');
  });

  it('a slot is not given to another buffer before its last MUNMAP', async () => {
    const slot = success(shared.allocate(8 * UNIT));
    await shared.mapSlot(slot);
    bytes(shared, slot).fill(0x77);
    shared.release(slot);
    assert.equal(shared.allocate(9 * UNIT), failure(ENOMEM), 'half of the region is still the old one');
    assert.equal(shared.unmap(slot.offset), 0);
    assert.equal(shared.unmap(slot.offset), EINVAL, 'now it is gone');
    const next = success(shared.allocate(16 * UNIT));
    assert.equal(next.offset, 0);
    assert.ok(
      bytes(shared, next).every((byte) => byte === 0),
      'another session sees nothing of the first',
    );
  });

  it('a slot stays with its buffer after the last MUNMAP, and goes with it', () => {
    const slot = success(shared.allocate(16 * UNIT));
    assert.equal(shared.allocate(1), failure(ENOMEM));
    shared.release(slot);
    success(shared.allocate(1));
    shared.release(slot);
    assert.equal(shared.allocate(16 * UNIT), failure(ENOMEM), 'released twice, given back once');
  });

  it('a full region is full', () => {
    assert.equal(shared.allocate(16 * UNIT + 1), failure(ENOMEM));
    assert.equal(shared.allocate(2 ** 32), failure(ENOMEM));
    for (let n = 0; n < 16; n++) success(shared.allocate(1));
    assert.equal(shared.allocate(1), failure(ENOMEM));
  });

  it('after a reset a VMM that drops mappings is asked anew, one that keeps them is not', async () => {
    for (const survives of [false, true]) {
      transport = new FakeTransport(16 * UNIT, 'arena', survives);
      const region = new SharedMemory(transport, 'auto');
      const slot = success(region.allocate(1));
      await region.mapSlot(slot);
      region.release(slot);
      region.reset();
      const [after] = [success(region.allocate(16 * UNIT))];
      assert.equal(after.offset, 0, 'no guest mapping keeps a slot over a reset');
      await region.mapSlot(after);
      assert.equal(transport.places('map').length, survives ? 1 : 2);
      region.close();
    }
  });

  it('the arena is sealed: its file cannot shrink under the VMM', async () => {
    await shared.mapSlot(success(shared.allocate(1)));
    const { fd } = transport.asked[0]!;
    assert.equal(fstatSync(fd!).size, 16 * UNIT);
    assert.throws(() => ftruncateSync(fd!, 0), { code: 'EPERM' });
  });

  it('the arena goes with the VMM', async () => {
    const arenas = () => readFileSync('/proc/self/maps', 'latin1').split('virtio-media-arena').length;
    await settle(1);
    const before = [arenas(), readdirSync('/proc/self/fd').length];
    const other = new SharedMemory(transport, 'auto');
    await other.mapSlot(success(other.allocate(1)));
    assert.deepEqual([arenas(), readdirSync('/proc/self/fd').length], [before[0]! + 1, before[1]! + 1]);
    other.close();
    await settle(1);
    assert.deepEqual([arenas(), readdirSync('/proc/self/fd').length], before);
  });

  it('a VMM without shared memory has none', async () => {
    const none = new SharedMemory(new FakeTransport(0), 'auto');
    assert.equal(none.usable, false);
    assert.equal(none.allocate(1), failure(ENOMEM));
    none.close();
  });
});
