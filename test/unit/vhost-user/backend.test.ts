/** Whole sessions of the other VMMs with the back-end. The device is a FAKE that echoes and records. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { native } from '../../../src/native.js';
import { Ask } from '../../support/front-end-messages.js';
import { settle } from '../../support/until.js';
import { checkedVm, works } from './support/checked-vm.js';
import * as say from './support/transcripts.js';
import type { Vm } from './support/vm.js';
import { PLAIN, region, singleRegion, state, u64 } from './support/vmm.js';

describe('vhost-user back-end', () => {
  let vm: Vm;
  const open = checkedVm((made) => {
    vm = made;
  });

  const started = ['connected', 'started 0 at 0', 'started 1 at 0'];

  it('with crosvm: a ring of 32768 runs before the other is known (T3)', async () => {
    open();
    vm.newDriver(32768);
    await say.crosvmConnect(vm);
    vm.postEvents();
    vm.offer('OPEN');
    let startedAlone = false;
    vm.device.onStarted = (index) => {
      if (index === 0) startedAlone = vm.device.queues[1] === null;
    };
    await say.crosvmActivate(vm);
    assert.equal(startedAlone, true);
    assert.deepEqual(vm.device.history, started);
    assert.equal(vm.device.transport?.survivesReset, true);
    assert.equal(vm.device.transport?.prefers, 'direct');
    await works(vm);

    // The VM sleeps and wakes.
    vm.device.forget();
    const bases = await say.crosvmDeactivate(vm);
    assert.deepEqual(bases, [2, 1]);
    await say.crosvmActivate(vm, { features: false, bases });
    assert.deepEqual(vm.device.history, ['stopped 0', 'stopped 1', 'started 0 at 2', 'started 1 at 1']);
    await works(vm);

    // The guest resets the device. The features are not sent again.
    await say.crosvmDeactivate(vm);
    vm.device.forget();
    vm.newDriver(32768);
    vm.postEvents();
    await say.crosvmActivate(vm, { features: false });
    assert.deepEqual(vm.device.history, ['reset', 'started 0 at 0', 'started 1 at 0']);
    await works(vm);
  });

  it('with libkrun: memory before features, no acknowledgements, a new channel after a reset (T4)', async () => {
    open();
    await say.libkrunConnect(vm);
    vm.postEvents(8);
    vm.offer('OPEN');
    await say.libkrunActivate(vm);
    assert.deepEqual(vm.device.history, started);
    assert.equal(vm.device.transport?.survivesReset, true);
    // Both rings have one call descriptor.
    assert.equal(await vm.command('ping'), 'echo:ping');
    vm.interrupts(0);
    vm.device.event('event');
    assert.equal(vm.interrupts(0), 1);

    vm.device.forget();
    await say.libkrunReset(vm);
    assert.deepEqual(vm.device.history, ['stopped 0', 'stopped 1']);
    vm.newDriver(8);
    vm.postEvents(8);
    await say.libkrunActivate(vm);
    assert.deepEqual(vm.device.history.slice(2), ['reset', 'started 0 at 0', 'started 1 at 0']);
    assert.equal(await vm.command('ping'), 'echo:ping');
  });

  for (const order of ['before', 'after'] as const)
    it(`with libkrun: a channel that is closed ${order} the rings stop ends the sessions at once`, async () => {
      open();
      await say.libkrunConnect(vm);
      await say.libkrunActivate(vm);
      vm.device.forget();
      const drop = async () => {
        vm.channel!.close();
        vm.channel = null;
        await settle(5);
      };
      if (order === 'before') await drop();
      assert.deepEqual(vm.device.calls, [], 'the device goes on');
      for (const index of [0, 1]) await vm.control.say(Ask.SET_VRING_ENABLE, state(index, 0));
      if (order === 'after') await drop();
      assert.deepEqual(vm.device.history, ['stopped 0', 'stopped 1', 'reset']);
      vm.newDriver(8);
      await say.libkrunActivate(vm);
      assert.deepEqual(vm.device.history.slice(3), ['started 0 at 0', 'started 1 at 0']);
      assert.equal(await vm.command('ping'), 'echo:ping');
    });

  describe('with cloud-hypervisor', () => {
    for (const again of [false, true])
      it(`finds 16 event buffers behind base 16${again ? ', after a reconnect' : ''} (T5)`, async () => {
        open({ memSlots: true });
        vm.newDriver(256);
        await say.cloudHypervisorConnect(vm, again);
        vm.postEvents(16);
        vm.offer('OPEN');
        await say.cloudHypervisorActivate(vm);
        assert.deepEqual(vm.device.history, started);
        assert.equal(vm.device.queues[1]?.waiting, 16);
        assert.equal(vm.commandq.usedIndex, 1);
        assert.equal(vm.device.transport?.size, 0, 'no shared memory');
        for (let count = 0; count < 16; count++) assert.equal(vm.device.event(`event ${count}`), true);
        assert.equal(vm.device.event('one too many'), false);
        await works0();
      });

    const works0 = async () => assert.equal(await vm.command('ping'), 'echo:ping');

    it('pauses with ENABLE alone, and resets with GET_VRING_BASE', async () => {
      open({ memSlots: true });
      vm.newDriver(256);
      await say.cloudHypervisorConnect(vm);
      vm.postEvents(16);
      await say.cloudHypervisorActivate(vm);
      await works(vm);
      vm.device.forget();
      await say.enableAll(vm, 0);
      vm.offer('late');
      vm.kickCommands();
      await settle();
      assert.equal(vm.commandq.usedIndex, 1, 'a disabled ring was served');
      await say.enableAll(vm, 1);
      assert.deepEqual(vm.device.history, ['stopped 0', 'stopped 1', 'started 0 at 1', 'started 1 at 1']);
      assert.equal(vm.commandq.usedIndex, 2);

      await say.enableAll(vm, 0);
      assert.equal(await vm.vringBase(0), 2);
      assert.equal(await vm.vringBase(1), 1);
      vm.device.forget();
      vm.newDriver(256);
      vm.postEvents(16);
      vm.offer('OPEN');
      await say.cloudHypervisorActivate(vm);
      assert.deepEqual(vm.device.history, ['reset', 'started 0 at 0', 'started 1 at 0']);
      assert.equal(vm.device.queues[1]?.waiting, 16);
    });

    it('sees a reset behind a base that is the old one', async () => {
      open({ memSlots: true });
      vm.newDriver(256);
      await say.cloudHypervisorConnect(vm);
      await say.cloudHypervisorActivate(vm);
      await works0();
      await say.enableAll(vm, 0);
      assert.equal(await vm.vringBase(0), 1);
      assert.equal(await vm.vringBase(1), 0);
      vm.device.forget();
      // One command is available before the start, so the driver's index is 1 again.
      vm.newDriver(256);
      vm.offer('OPEN');
      await say.cloudHypervisorActivate(vm);
      assert.deepEqual(vm.device.history, ['reset', 'started 0 at 0', 'started 1 at 0']);
      assert.equal(vm.commandq.usedIndex, 1);
    });

    it('adds memory while the rings run', async () => {
      open({ memSlots: true });
      await say.cloudHypervisorConnect(vm);
      await say.cloudHypervisorActivate(vm);
      const fd = native.memoryFile('test-hotplug', 65536);
      const body = singleRegion(region(0x9_0000_0000, 65536, 0x6000_0000_0000, 0));
      assert.equal(await vm.control.tell(Ask.ADD_MEM_REG, body, [fd]), 0n);
      closeSync(fd);
      assert.equal(vm.device.memory?.read(0x9_0000_0000, 65536).length, 65536);
      await works0();
    });
  });

  it('with a front-end that knows no protocol features: rings start at the kick descriptor', async () => {
    open();
    await vm.control.say(Ask.SET_FEATURES, u64(0x1_2000_0000n));
    await vm.control.say(Ask.SET_MEM_TABLE, ...vm.memoryTable());
    vm.offer('OPEN');
    for (const index of [0, 1]) {
      vm.control.send(Ask.SET_VRING_NUM, PLAIN, vm.ringSize(index));
      vm.control.send(Ask.SET_VRING_ADDR, PLAIN, vm.addressOf(index));
      vm.control.send(Ask.SET_VRING_BASE, PLAIN, state(index, 0));
      await vm.control.say(Ask.SET_VRING_KICK, ...vm.kickOf(index));
    }
    assert.deepEqual(vm.device.history, started);
    assert.equal(vm.commandq.usedIndex, 1);
    assert.equal(await vm.vringBase(0), 1);
    vm.control.send(Ask.SET_VRING_BASE, PLAIN, state(0, 1));
    await vm.control.say(Ask.SET_VRING_KICK, ...vm.kickOf(0));
    assert.equal(await vm.command('ping'), 'echo:ping');
  });
});
