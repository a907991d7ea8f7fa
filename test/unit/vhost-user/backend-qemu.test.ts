/** Whole sessions of QEMU with the back-end. The device is a FAKE that echoes and records. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { native } from '../../../src/native.js';
import { Ask } from '../../support/front-end-messages.js';
import { until } from '../../support/until.js';
import { checkedVm, works } from './support/checked-vm.js';
import * as say from './support/transcripts.js';
import type { Vm } from './support/vm.js';
import { PLAIN, state, u64 } from './support/vmm.js';

describe('vhost-user back-end with QEMU', () => {
  let vm: Vm;
  const open = checkedVm((made) => {
    vm = made;
  });

  const started = ['connected', 'started 0 at 0', 'started 1 at 0'];

  for (const slots of [true, false])
    describe(`with QEMU ${slots ? 'and memory slots (T1)' : 'and memory tables (T2)'}`, () => {
      beforeEach(async () => {
        open({ memSlots: slots });
        await say.qemuRealize(vm, slots);
        assert.deepEqual(vm.device.calls, []);
        vm.postEvents(8);
        vm.offer('OPEN');
        await say.qemuStart(vm, { slots });
      });

      it('starts, and serves what was in the rings before', async () => {
        assert.deepEqual(vm.device.history, started);
        assert.equal(vm.commandq.usedIndex, 1);
        assert.equal(vm.device.transport?.size, 0x1_0000_0000);
        assert.equal(vm.device.transport?.survivesReset, false);
        assert.equal(vm.device.transport?.prefers, 'arena');
        await works(vm);
      });

      it('keeps everything over a pause (T7)', async () => {
        await works(vm);
        vm.device.forget();
        const bases = await say.qemuStop(vm);
        assert.deepEqual(bases, [2, 1]);
        assert.deepEqual(vm.device.history, ['stopped 0', 'stopped 1']);
        vm.offer('late');
        await say.qemuStart(vm, { slots, first: false, bases });
        assert.deepEqual(vm.device.history, ['stopped 0', 'stopped 1', 'started 0 at 2', 'started 1 at 1']);
        assert.equal(vm.commandq.usedIndex, 3);
        await works(vm);
      });

      it('resets once when the guest starts anew (T7)', async () => {
        await works(vm);
        await say.qemuStop(vm);
        vm.device.forget();
        vm.newDriver(8);
        vm.postEvents(8);
        vm.offer('OPEN');
        await say.qemuStart(vm, { slots, first: false });
        assert.deepEqual(vm.device.history, ['reset', 'started 0 at 0', 'started 1 at 0']);
        await works(vm);
      });

      for (const [moved, parts] of [
        ['descriptor table', [true, false, false]],
        ['used ring', [false, true, false]],
        ['available ring', [false, false, true]],
      ] as const)
        it(`resets when only the ${moved} moved`, async () => {
          // The base is the same as before: the driver made 65536 commands available, or none.
          const bases = await say.qemuStop(vm);
          vm.device.forget();
          vm.control.send(Ask.SET_VRING_ADDR, PLAIN, vm.addressOf(1, 4096, [...parts]));
          for (const index of [0, 1]) {
            vm.control.send(Ask.SET_VRING_BASE, PLAIN, state(index, bases[index]!));
            await vm.control.tell(Ask.SET_VRING_KICK, ...vm.kickOf(index));
          }
          await say.enableAll(vm, 1);
          assert.equal(vm.device.history[0], 'reset');
          assert.equal(vm.device.history.filter((call) => call === 'reset').length, 1);
        });

      it('resets when other features are negotiated', async () => {
        const bases = await say.qemuStop(vm);
        vm.device.forget();
        await vm.control.say(Ask.SET_FEATURES, u64(0x1_5000_0000n));
        for (const index of [0, 1]) {
          vm.control.send(Ask.SET_VRING_BASE, PLAIN, state(index, bases[index]!));
          await vm.control.tell(Ask.SET_VRING_KICK, ...vm.kickOf(index));
        }
        await say.enableAll(vm, 1);
        assert.deepEqual(vm.device.history, ['reset', 'started 0 at 1', 'started 1 at 0']);
      });

      it('resets at SET_STATUS 0 and at RESET_DEVICE, at once', async () => {
        vm.device.forget();
        await vm.control.say(Ask.SET_STATUS, u64(15));
        assert.equal((await vm.control.ask(Ask.GET_STATUS)).readBigUInt64LE(), 15n);
        assert.deepEqual(vm.device.calls, []);
        await vm.control.say(Ask.SET_STATUS, u64(0));
        assert.deepEqual(vm.device.calls, ['reset']);
        await vm.control.say(Ask.RESET_DEVICE);
        assert.deepEqual(vm.device.history, ['reset', 'stopped 0', 'stopped 1', 'reset']);
      });

      it('releases everything when the VMM leaves', async () => {
        vm.device.forget();
        vm.control.close();
        await until(() => vm.ends.length === 1);
        assert.deepEqual(vm.ends, [null]);
        assert.deepEqual(vm.device.history, ['stopped 0', 'stopped 1', 'disconnected']);
        assert.equal(vm.backend.memory.regions.length, 0);
        vm.backend.close();
        assert.equal(vm.device.calls.filter((call) => call === 'disconnected').length, 1);
        replaceControl();
      });

      it('releases everything at close(), and does not say that it ended', async () => {
        vm.device.forget();
        vm.backend.close();
        await until(() => vm.control.ended);
        assert.deepEqual(vm.device.history, ['stopped 0', 'stopped 1', 'disconnected']);
        assert.deepEqual(vm.ends, []);
      });
    });

  /** Gives close() a socket to close. */
  const replaceControl = () => {
    const [ours, theirs] = native.socketPair();
    closeSync(theirs);
    Object.defineProperty(vm.control, 'fd', { value: ours });
  };

  it('with QEMU: RESET_DEVICE, then a start', async () => {
    open();
    await say.qemuRealize(vm, false);
    await say.qemuStart(vm);
    await vm.control.say(Ask.RESET_DEVICE);
    vm.newDriver(8);
    vm.device.forget();
    await say.qemuStart(vm);
    assert.deepEqual(vm.device.history, ['started 0 at 0', 'started 1 at 0']);
  });

  it('with QEMU: keeps the memory of slots over stop and start', async () => {
    open({ memSlots: true });
    await say.qemuRealize(vm, true);
    await say.qemuStart(vm, { slots: true });
    const bases = await say.qemuStop(vm);
    assert.equal(vm.backend.memory.regions.length, 1);
    await say.qemuStart(vm, { slots: true, first: false, bases });
    assert.equal(await vm.command('ping'), 'echo:ping');
  });

  it('with QEMU: device_del closes the channel alone, and device_add starts over', async () => {
    open();
    await say.qemuRealize(vm, false);
    await say.qemuStart(vm);
    assert.equal(await vm.command('ping'), 'echo:ping');
    await say.qemuStop(vm);
    vm.device.forget();
    vm.channel!.close();
    vm.channel = null;
    await until(() => vm.device.calls.length > 0);
    assert.deepEqual(vm.device.calls, ['reset']);
    await say.qemuRealize(vm, false);
    vm.newDriver(8);
    await say.qemuStart(vm);
    assert.deepEqual(vm.device.history, ['reset', 'started 0 at 0', 'started 1 at 0']);
    assert.equal(await vm.command('ping'), 'echo:ping');
    assert.deepEqual(vm.ends, []);
  });
});
