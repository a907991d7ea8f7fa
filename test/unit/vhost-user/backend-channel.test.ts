/** The bridge's requests to the VMM. The device is a FAKE; the VMM answers when the test tells it to. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { native } from '../../../src/native.js';
import { MAX_UNANSWERED } from '../../../src/vhost-user/backend-channel.js';
import { Ask } from '../../support/front-end-messages.js';
import { settle, until } from '../../support/until.js';
import { MAP, mappings, place, SLOT, UNMAP } from './support/mappings.js';
import * as say from './support/transcripts.js';
import { USER, type Vm, WINDOW } from './support/vm.js';
import { config, memoryTable, NEED_REPLY, region, u64 } from './support/vmm.js';

describe('SHM region', () => {
  let vm: Vm;
  let file: number;
  const { open, done, map, unmap, heard, take, answer } = mappings((made, mapped) => {
    vm = made;
    file = mapped;
  });

  beforeEach(async () => {
    open();
    await say.qemuRealize(vm, false);
    await say.qemuStart(vm);
  });

  it('maps with one descriptor and asks for a reply', async () => {
    map('a', 2 * SLOT, SLOT);
    assert.deepEqual(done, []);
    const message = await heard(MAP);
    assert.equal(message.flags, NEED_REPLY);
    assert.deepEqual(place(message), [0, SLOT, 2 * SLOT, SLOT, 1]);
    assert.equal(message.descriptors.length, 1);
    for (const fd of message.descriptors) closeSync(fd);
    await settle();
    assert.deepEqual(done, []);
    answer(MAP, 0);
    await until(() => done.length === 1);
    assert.deepEqual(done, [['a', 0]]);
  });

  it('unmaps with the same place, and no descriptor', async () => {
    unmap('a', 2 * SLOT);
    assert.deepEqual(await take(UNMAP), [0, 0, 2 * SLOT, SLOT, 0]);
    answer(UNMAP, 0);
    await until(() => done.length === 1);
    assert.deepEqual(done, [['a', 0]]);
  });

  it('matches replies in order; anything but 0 is EIO', async () => {
    map('a');
    map('b', SLOT);
    unmap('c', SLOT);
    answer(MAP, 0);
    answer(MAP, 1);
    answer(UNMAP, 0xffff_ffff_ffff_ffeen);
    await until(() => done.length === 3);
    assert.deepEqual(done, [
      ['a', 0],
      ['b', 5],
      ['c', 5],
    ]);
    for (const request of [MAP, MAP, UNMAP]) await take(request);
  });

  it('goes on from within a result', async () => {
    vm.device.transport!.map(file, 0, 0, SLOT, (errno) => {
      done.push(['a', errno]);
      unmap('b');
    });
    await take(MAP);
    answer(MAP, 0);
    await take(UNMAP);
    answer(UNMAP, 0);
    await until(() => done.length === 2);
  });

  it('serves the control socket while an answer is outstanding (T6)', async () => {
    map('first');
    map('second', SLOT);
    await take(MAP);
    await take(MAP);
    const since = Date.now();
    assert.equal((await vm.control.ask(Ask.GET_CONFIG, config(0, 40))).length, 52);
    // QEMU announces its own mapping, in a table of all regions.
    const table = memoryTable(vm.regionBody(), region(WINDOW, SLOT, USER + 0x1000_0000, 0));
    assert.equal(await vm.control.tell(Ask.SET_MEM_TABLE, table, [vm.ram.fd, file]), 0n);
    assert.equal(await vm.command('ping'), 'echo:ping');
    assert.equal(await vm.vringBase(0), 1);
    assert.equal(await vm.vringBase(1), 0);
    assert.ok(Date.now() - since < 1000);
    assert.deepEqual(done, []);
    answer(MAP, 0);
    answer(MAP, 0);
    await until(() => done.length === 2);
    assert.deepEqual(done, [
      ['first', 0],
      ['second', 0],
    ]);
  });

  it('takes a descriptor of its own back without mapping it', async () => {
    map('a');
    await take(MAP);
    const echo = region(WINDOW, SLOT, USER + 0x1000_0000, 0);
    const table = memoryTable(vm.regionBody(), echo);
    assert.equal(await vm.control.tell(Ask.SET_MEM_TABLE, table, [vm.ram.fd, file]), 0n);
    assert.equal(vm.backend.memory.regions.length, 2);
    assert.throws(() => vm.device.memory?.read(WINDOW, 1), /not in guest memory/);
    assert.equal(vm.device.memory?.ring(USER + 0x1000_0000, 16), null);
    answer(MAP, 0);

    // After UNMAP this file is treated as any other file.
    unmap('b');
    await take(UNMAP);
    answer(UNMAP, 0);
    await until(() => done.length === 2);
    assert.equal(await vm.control.tell(Ask.SET_MEM_TABLE, table, [vm.ram.fd, file]), 0n);
    assert.equal(vm.device.memory?.read(WINDOW, 1).length, 1);
  });

  it('forgets its descriptors when the guest resets the device', async () => {
    map('a');
    await take(MAP);
    answer(MAP, 0);
    await until(() => done.length === 1);
    await vm.control.say(Ask.SET_STATUS, u64(0));
    const table = memoryTable(vm.regionBody(), region(WINDOW, SLOT, USER + 0x1000_0000, 0));
    assert.equal(await vm.control.tell(Ask.SET_MEM_TABLE, table, [vm.ram.fd, file]), 0n);
    assert.equal(vm.device.memory?.read(WINDOW, 1).length, 1);
  });

  it('never maps what is not an ordinary file, nor refuses it', async () => {
    // The VMM announces mappings of other devices of the VM too. Here a socket stands for their DMABUF.
    const [ours, theirs] = native.socketPair();
    const table = memoryTable(vm.regionBody(), region(WINDOW, SLOT, USER + 0x1000_0000, 0));
    assert.equal(await vm.control.tell(Ask.SET_MEM_TABLE, table, [vm.ram.fd, ours]), 0n);
    closeSync(ours);
    closeSync(theirs);
    assert.throws(() => vm.device.memory?.read(WINDOW, 1), /not in guest memory/);
  });

  it('does nothing while the device is paused: EBUSY', async () => {
    const bases = await say.qemuStop(vm);
    map('a');
    unmap('b');
    assert.deepEqual(done, []);
    await until(() => done.length === 2);
    await say.qemuStart(vm, { first: false, bases });
    map('c');
    await take(MAP);
    assert.deepEqual(done, [
      ['a', 16],
      ['b', 16],
    ]);
  });

  it('asks for no more than it can be told', async () => {
    for (let count = 0; count < MAX_UNANSWERED; count++) {
      unmap(`${count}`);
      await take(UNMAP);
    }
    for (let count = 0; count < 2; count++) unmap('one too many');
    await until(() => done.length === 2);
    assert.deepEqual(
      done.map(([, errno]) => errno),
      [16, 16],
    );
    for (let count = 0; count < MAX_UNANSWERED; count++) {
      answer(UNMAP, 0);
      if (count % 64 === 0) await settle(2);
    }
    await until(() => done.length === MAX_UNANSWERED + 2);
  });

  it('maps no more at once than QEMU survives', async () => {
    const granted = async (name: string, offset: number, verdict = 0) => {
      const before = done.length;
      map(name, offset);
      await take(MAP);
      answer(MAP, verdict);
      await until(() => done.length > before);
    };
    await granted('refused by the VMM: it does not count', 300 * SLOT, 1);
    for (let index = 0; index < 256; index++) await granted(`${index}`, index * SLOT);
    map('one too many', 256 * SLOT);
    await until(() => done.length === 258);
    assert.deepEqual(done.at(-1), ['one too many', 12]);
    unmap('one less', 7 * SLOT);
    await take(UNMAP);
    answer(UNMAP, 0);
    await until(() => done.length === 259);
    await granted('room again', 256 * SLOT);
    assert.deepEqual(done.at(-1), ['room again', 0]);
  });
});
