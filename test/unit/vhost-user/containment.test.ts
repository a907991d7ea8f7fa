/**
 * The code of the device throws. QEMU aborts without a back-end, so the connection must stay, whatever fails. The
 * device is a FAKE that fails at the call that the test names.
 */
import assert from 'node:assert/strict';
import { native } from '../../../src/native.js';
import { Ask } from '../../support/front-end-messages.js';
import { settle, until } from '../../support/until.js';
import * as say from './support/transcripts.js';
import { Vm } from './support/vm.js';
import { config, openDescriptors, PLAIN, REPLY, state, u64, withoutLog } from './support/vmm.js';

describe('a device that fails', () => {
  withoutLog();
  let vm: Vm;
  let before: number;

  beforeEach(async () => {
    before = openDescriptors();
    vm = new Vm({ objects: true });
    await say.qemuRealize(vm, false, say.OBJECTS);
  });

  afterEach(async () => {
    vm.close();
    await settle(3);
    assert.equal(openDescriptors(), before, 'descriptors leaked');
  });

  const start = async () => {
    vm.postEvents(8);
    await say.qemuStart(vm);
    vm.device.forget();
  };

  /** Every request is answered, no code of the device runs, and the guest's next driver finds a new device. */
  const recovers = async () => {
    assert.equal((await vm.control.ask(Ask.GET_CONFIG, config(0, 40))).length, 52);
    assert.ok(vm.device.queues.every((queue) => !queue || queue.stopped));
    assert.equal((await say.qemuStop(vm)).length, 2);
    assert.equal(vm.channel!.poll(), undefined);
    vm.newDriver(8);
    vm.postEvents(8);
    await say.qemuStart(vm);
    assert.equal(await vm.command('ping'), 'echo:ping');
    assert.equal(vm.device.event('an event'), true);
    assert.deepEqual(vm.ends, []);
  };

  for (const call of ['connected', 'started 0', 'started 1'])
    it(`in ${call}: the start is refused, and the next one works`, async () => {
      vm.device.fails = call;
      await assert.rejects(say.qemuStart(vm), /1n !== 0n/);
      assert.equal(vm.device.fails, '');
      await recovers();
    });

  it('when it is kicked: its rings stop and say so, its sessions end', async () => {
    await start();
    vm.device.fails = 'kicked';
    vm.offer('bad');
    vm.kickCommands();
    await until(() => vm.device.history.length > 0);
    assert.deepEqual(vm.device.history, ['stopped 0', 'stopped 1', 'reset']);
    for (const fd of vm.error) assert.equal(native.drain(fd), 1, 'an error descriptor');
    vm.kickCommands();
    await settle();
    assert.equal(vm.commandq.usedIndex, 0, 'it is not asked any more');
    await recovers();
  });

  it('with commands under way: they are answered', async () => {
    await start();
    vm.device.parks = true;
    vm.offer('slow');
    vm.kickCommands();
    await until(() => vm.device.parked.length === 1);
    vm.device.parks = false;
    vm.device.fails = 'kicked';
    vm.kickCommands();
    await until(() => vm.commandq.usedIndex === 1);
    assert.equal(vm.commandq.usedElement(0).length, 7, 'stopped');
    await recovers();
  });

  it('when a kick descriptor is replaced: the request is carried out', async () => {
    await start();
    vm.device.fails = 'kicked';
    assert.equal(await vm.control.tell(Ask.SET_VRING_KICK, ...vm.kickOf(0)), 0n);
    assert.deepEqual(vm.device.history, ['stopped 0', 'stopped 1', 'reset']);
    await recovers();
  });

  for (const queue of [0, 1])
    it(`when ring ${queue} stops: it is stopped once, and so is the other`, async () => {
      await start();
      vm.device.fails = `stopped ${queue}`;
      await say.qemuStop(vm);
      assert.deepEqual(vm.device.history.toSorted(), ['reset', 'stopped 0', 'stopped 1']);
      await recovers();
    });

  it('when it is reset: at SET_STATUS, at RESET_DEVICE, and between two starts', async () => {
    await start();
    for (const [request, body] of [
      [Ask.SET_STATUS, u64(0)],
      [Ask.RESET_DEVICE, Buffer.alloc(0)],
    ] as const) {
      vm.device.fails = 'reset';
      await vm.control.say(request, body);
      assert.equal(vm.device.history.filter((call) => call === 'reset').length, 2, 'once more');
      await recovers();
      vm.device.forget();
    }
    await say.qemuStop(vm);
    vm.device.fails = 'reset';
    vm.newDriver(8);
    await assert.rejects(say.qemuStart(vm), /1n !== 0n/);
    await recovers();
  });

  it('twice: in its reset too', async () => {
    await start();
    vm.device.fails = 'kicked';
    const { device } = vm;
    const reset = device.reset.bind(device);
    device.reset = () => {
      reset();
      device.reset = reset;
      throw new Error('the device failed again');
    };
    vm.kickCommands();
    await until(() => device.calls.includes('reset'));
    await recovers();
  });

  it('asked for an object: there is none', async () => {
    await start();
    vm.device.fails = 'asked';
    vm.control.send(Ask.GET_SHARED_OBJECT, PLAIN, Buffer.alloc(16, 7));
    const { flags, descriptors } = await vm.control.next();
    assert.deepEqual([flags, descriptors], [REPLY, []]);
    assert.equal(await vm.command('ping'), 'echo:ping');
  });

  it('when the VMM leaves: everything else is released', async () => {
    await start();
    vm.device.fails = 'disconnected';
    vm.backend.close();
    await until(() => vm.control.ended);
    assert.equal(vm.backend.memory.regions.length, 0);
  });

  it('in each call of a conversation after the other, and the connection is the same', async () => {
    for (const call of ['connected', 'started 1', 'kicked', 'stopped 1', 'reset']) {
      vm.device.fails = call;
      await say.qemuStart(vm).catch(() => undefined);
      vm.kickCommands();
      await settle();
      for (const index of [1, 0])
        assert.equal(await vm.control.tell(Ask.SET_VRING_ENABLE, state(index, 0)), 0n);
      await vm.control.say(Ask.SET_STATUS, u64(0));
      assert.equal(vm.device.fails, '', call);
      await recovers();
      await say.qemuStop(vm);
    }
  });
});
