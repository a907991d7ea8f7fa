/**
 * The bridge's requests to VMMs with traits of their own. The device is a FAKE; the VMM answers when the test tells it
 * to.
 */
import assert from 'node:assert/strict';
import { closeSync, fstatSync } from 'node:fs';
import { native } from '../../../src/native.js';
import { Ask } from '../../support/front-end-messages.js';
import { until } from '../../support/until.js';
import { CONFIG_CHANGE, MAP, mappings, place, SLOT, UNMAP } from './support/mappings.js';
import * as say from './support/transcripts.js';
import { USER, type Vm, WINDOW } from './support/vm.js';
import { config, memoryTable, PLAIN, region, singleRegion, u64 } from './support/vmm.js';

describe('SHM region of other VMMs', () => {
  let vm: Vm;
  let file: number;
  const { open, done, map, unmap, heard, take, answer } = mappings((made, mapped) => {
    vm = made;
    file = mapped;
  });

  it('adds and removes what it has mapped with memory slots', async () => {
    open({ memSlots: true });
    await say.qemuRealize(vm, true);
    await say.qemuStart(vm, { slots: true });
    map('a');
    await take(MAP);
    answer(MAP, 0);
    const echo = singleRegion(region(WINDOW, SLOT, USER + 0x1000_0000, 0));
    assert.equal(await vm.control.tell(Ask.ADD_MEM_REG, echo, [file]), 0n);
    assert.throws(() => vm.device.memory?.read(WINDOW, 1), /not in guest memory/);
    unmap('b');
    await take(UNMAP);
    answer(UNMAP, 0);
    assert.equal(await vm.control.tell(Ask.REM_MEM_REG, echo), 0n);
    assert.equal(vm.backend.memory.regions.length, 1);
  });

  it('keeps its descriptors over a reset with crosvm', async () => {
    open();
    await say.crosvmConnect(vm);
    await say.crosvmActivate(vm);
    map('a');
    await take(MAP);
    await vm.control.say(Ask.SET_STATUS, u64(0));
    const table = memoryTable(vm.regionBody(), region(WINDOW, SLOT, USER + 0x1000_0000, 0));
    await vm.control.say(Ask.SET_MEM_TABLE, table, [vm.ram.fd, file]);
    assert.throws(() => vm.device.memory?.read(WINDOW, 1), /not in guest memory/);
  });

  it('says that nothing can be mapped without SHMEM', async () => {
    open({ memSlots: true });
    await say.cloudHypervisorConnect(vm);
    await say.cloudHypervisorActivate(vm);
    assert.equal(vm.device.transport?.size, 0);
    map('a');
    await until(() => done.length === 1);
    assert.deepEqual(done, [['a', 16]]);
    assert.equal(vm.channel!.poll(), undefined);
  });

  it('takes another VMM from an option', async () => {
    open({ frontend: 'crosvm' });
    await say.qemuRealize(vm, false);
    await say.qemuStart(vm);
    assert.equal(vm.device.transport?.survivesReset, true);
    assert.equal(vm.device.transport?.prefers, 'direct');
  });

  describe('with a VMM that never answers (libkrun)', () => {
    beforeEach(async () => {
      open();
      await say.libkrunConnect(vm);
      await say.libkrunActivate(vm);
    });

    it('is done when the message behind it has been read', async () => {
      map('a');
      // The bridge looks once a millisecond. Nothing tells that it has looked.
      await new Promise((resolve) => setTimeout(resolve, 30));
      assert.deepEqual(done, [], 'nothing has been read');
      const message = await heard(MAP);
      assert.equal(message.flags, PLAIN);
      for (const fd of message.descriptors) closeSync(fd);
      const behind = await heard(CONFIG_CHANGE);
      assert.deepEqual([behind.flags, behind.body.length], [PLAIN, 0]);
      await until(() => done.length === 1);
      assert.deepEqual(done, [['a', 0]]);
    });

    it('gives up after a second', async () => {
      const since = Date.now();
      map('a');
      await until(() => done.length === 1);
      assert.deepEqual(done, [['a', 110]]);
      assert.ok(Date.now() - since >= 990);
      await take(MAP);
      await heard(CONFIG_CHANGE);
      // The VMM has read everything, so the next request is done again.
      map('b', SLOT);
      await take(MAP);
      await heard(CONFIG_CHANGE);
      await until(() => done.length === 2);
      assert.deepEqual(done[1], ['b', 0]);
    });

    it('serves the control socket meanwhile', async () => {
      map('a');
      assert.equal((await vm.control.ask(Ask.GET_CONFIG, config(0, 40))).length, 52);
      assert.equal(await vm.command('ping'), 'echo:ping');
      assert.deepEqual(done, []);
    });

    it('maps zeros where something is unmapped', async () => {
      unmap('a', SLOT, 2 * SLOT);
      const message = await heard(MAP);
      assert.deepEqual(place(message), [0, 0, SLOT, 2 * SLOT, 1]);
      const [fd] = message.descriptors as [number];
      assert.equal(fstatSync(fd).size, 2 * SLOT);
      const zeros = new native.Region(fd, 0, 2 * SLOT);
      assert.ok(Buffer.from(zeros.windows[0]!).every((byte) => byte === 0));
      zeros.close();
      closeSync(fd);
      await heard(CONFIG_CHANGE);
      await until(() => done.length === 1);
      assert.deepEqual(done, [['a', 0]]);
    });

    it('takes no reply at all', async () => {
      map('a');
      answer(MAP, 0);
      // This comes before the test reads anything, because reading the request would complete it.
      await until(() => done.length === 1);
      assert.deepEqual(done, [['a', 104]]);
      await until(() => vm.channel!.ended);
    });
  });
});
