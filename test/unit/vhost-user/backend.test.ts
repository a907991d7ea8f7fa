/** Whole sessions of a VMM with the back-end. The device is a FAKE that echoes and records. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { native } from '../../../src/native.js';
import * as say from './support/transcripts.js';
import { Vm } from './support/vm.js';
import {
  Ask,
  memoryTable,
  openDescriptors,
  PLAIN,
  region,
  settle,
  singleRegion,
  state,
  u64,
  until,
  withoutLog,
} from './support/vmm.js';

describe('vhost-user back-end', () => {
  withoutLog();
  let vm: Vm;
  let before: number;

  const open = (...setup: ConstructorParameters<typeof Vm>) => {
    before = openDescriptors();
    vm = new Vm(...setup);
    return vm;
  };

  afterEach(async () => {
    vm.close();
    await settle(3);
    assert.equal(openDescriptors(), before, 'descriptors leaked');
  });

  const started = ['connected', 'started 0 at 0', 'started 1 at 0'];

  /** Commands and events pass, with interrupts. */
  const works = async () => {
    assert.equal(await vm.command('ping'), 'echo:ping');
    const events = vm.eventq.usedIndex;
    vm.interrupts(1);
    vm.eventq.awaitUsed();
    assert.equal(vm.device.event('an event'), true);
    assert.equal(vm.eventq.usedIndex, (events + 1) % 65536);
    assert.equal(vm.eventq.usedElement(events).length, 8);
    assert.equal(vm.interrupts(1), 1);
  };

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
        await works();
      });

      it('keeps everything over a pause (T7)', async () => {
        await works();
        vm.device.forget();
        const bases = await say.qemuStop(vm);
        assert.deepEqual(bases, [2, 1]);
        assert.deepEqual(vm.device.history, ['stopped 0', 'stopped 1']);
        vm.offer('late');
        await say.qemuStart(vm, { slots, first: false, bases });
        assert.deepEqual(vm.device.history, ['stopped 0', 'stopped 1', 'started 0 at 2', 'started 1 at 1']);
        assert.equal(vm.commandq.usedIndex, 3);
        await works();
      });

      it('resets once when the guest starts anew (T7)', async () => {
        await works();
        await say.qemuStop(vm);
        vm.device.forget();
        vm.newDriver(8);
        vm.postEvents(8);
        vm.offer('OPEN');
        await say.qemuStart(vm, { slots, first: false });
        assert.deepEqual(vm.device.history, ['reset', 'started 0 at 0', 'started 1 at 0']);
        await works();
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
    await works();

    // The VM sleeps and wakes.
    vm.device.forget();
    const bases = await say.crosvmDeactivate(vm);
    assert.deepEqual(bases, [2, 1]);
    await say.crosvmActivate(vm, { features: false, bases });
    assert.deepEqual(vm.device.history, ['stopped 0', 'stopped 1', 'started 0 at 2', 'started 1 at 1']);
    await works();

    // The guest resets the device. The features are not sent again.
    await say.crosvmDeactivate(vm);
    vm.device.forget();
    vm.newDriver(32768);
    vm.postEvents();
    await say.crosvmActivate(vm, { features: false });
    assert.deepEqual(vm.device.history, ['reset', 'started 0 at 0', 'started 1 at 0']);
    await works();
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
      await works();
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

  for (let first = 0; first < 5; first++)
    it(`starts a ring whatever the order in which its parts come (${first})`, async () => {
      open();
      await vm.control.say(Ask.SET_PROTOCOL_FEATURES, u64(say.QEMU));
      await vm.control.say(Ask.SET_FEATURES, u64(say.FEATURES));
      await vm.control.say(Ask.SET_MEM_TABLE, ...vm.memoryTable());
      const parts = [
        () => vm.control.tell(Ask.SET_VRING_NUM, vm.ringSize(0)),
        () => vm.control.tell(Ask.SET_VRING_ADDR, vm.addressOf(0)),
        () => vm.control.tell(Ask.SET_VRING_BASE, state(0, 0)),
        () => vm.control.tell(Ask.SET_VRING_KICK, ...vm.kickOf(0)),
        () => vm.control.tell(Ask.SET_VRING_ENABLE, state(0, 1)),
      ];
      for (const part of [...parts.slice(first), ...parts.slice(0, first)]) {
        assert.deepEqual(vm.device.calls, []);
        assert.equal(await part(), 0n);
      }
      assert.deepEqual(vm.device.history, ['connected', 'started 0 at 0']);
      assert.equal(await vm.command('ping'), 'echo:ping');
    });

  describe('a ring', () => {
    beforeEach(async () => {
      open({ memSlots: true });
      await say.qemuRealize(vm, true);
      await say.qemuStart(vm, { slots: true });
      vm.device.forget();
    });

    it('keeps its parts while it runs', async () => {
      for (const [request, body] of [
        [Ask.SET_VRING_NUM, state(0, 4)],
        [Ask.SET_VRING_BASE, state(0, 3)],
        [Ask.SET_VRING_ADDR, vm.addressOf(0, 16)],
        [Ask.SET_FEATURES, u64(0x1_5000_0000n)],
      ] as const)
        assert.notEqual(await vm.control.tell(request, body), 0n);
      assert.equal(await vm.control.tell(Ask.SET_FEATURES, u64(say.FEATURES)), 0n);
      assert.equal(await vm.control.tell(Ask.SET_VRING_ENABLE, state(0, 1)), 0n);
      await works1();
      assert.deepEqual(vm.device.history, []);
    });

    const works1 = async () => assert.equal(await vm.command('ping'), 'echo:ping');

    it('does not start where there is no memory, and says so', async () => {
      const bases = await say.qemuStop(vm);
      const bad: [string, Buffer][] = [
        ['outside', vm.addressOf(0, 0x4000_0000)],
        ['across the end', vm.addressOf(0, 4 * 1024 * 1024 - 0xa_0010)],
        ['misaligned', vm.addressOf(0, 8)],
      ];
      for (const [name, address] of bad) {
        vm.control.send(Ask.SET_VRING_BASE, PLAIN, state(0, bases[0]!));
        vm.control.send(Ask.SET_VRING_ADDR, PLAIN, address);
        await vm.control.tell(Ask.SET_VRING_KICK, ...vm.kickOf(0));
        assert.notEqual(await vm.control.tell(Ask.SET_VRING_ENABLE, state(0, 1)), 0n, name);
        assert.equal(await vm.vringBase(0), bases[0]);
      }
      assert.ok(!vm.device.calls.some((call) => call.startsWith('started')));
    });

    it('survives a storm of call descriptors, and signals each new one once (T10)', async () => {
      const first = openDescriptors();
      for (let count = 0; count < 200; count++) {
        const fd = native.eventFd();
        assert.equal(await vm.control.tell(Ask.SET_VRING_CALL, u64(0), [fd]), 0n);
        assert.equal(native.drain(fd), 1, 'an interrupt may have been lost with the old one');
        if (count % 50 === 0) {
          await works1();
          assert.equal(native.drain(fd), 1);
        }
        closeSync(fd);
      }
      assert.equal(openDescriptors(), first);
      assert.equal(await vm.control.tell(Ask.SET_VRING_CALL, u64(0x100)), 0n);
      await works1();
    });

    it('does not lose a kick when the descriptor is replaced while it is pending (T14)', async () => {
      for (let count = 0; count < 20; count++) {
        vm.offer('ping');
        const index = vm.commandq.availableIndex;
        const fresh = native.eventFd();
        // The kick and the new descriptor are both there before the back-end runs.
        native.signal(vm.kick[0]!);
        vm.control.send(Ask.SET_VRING_KICK, PLAIN, u64(0), [fresh]);
        await until(() => vm.commandq.usedIndex === index);
        closeSync(vm.kick[0]!);
        vm.kick[0] = fresh;
      }
      await works1();
    });

    it('takes a kick descriptor that is signalled already', async () => {
      const bases = await say.qemuStop(vm);
      for (const fd of vm.kick) for (let count = 0; count < 2; count++) native.signal(fd);
      await say.qemuStart(vm, { slots: true, first: false, bases });
      await works1();
    });

    it('is stopped by GET_VRING_BASE alone, and needs a new kick descriptor', async () => {
      assert.equal(await vm.vringBase(0), 0);
      assert.equal(await vm.vringBase(0), 0);
      vm.offer('ping');
      vm.kickCommands();
      await settle();
      assert.equal(vm.commandq.usedIndex, 0);
      assert.equal(await vm.control.tell(Ask.SET_VRING_ENABLE, state(0, 1)), 0n);
      assert.deepEqual(vm.device.history, ['stopped 0']);
      await vm.control.tell(Ask.SET_VRING_KICK, ...vm.kickOf(0));
      assert.equal(vm.commandq.usedIndex, 1);
    });

    it('gives its base when every chain has been answered', async () => {
      vm.device.parks = true;
      vm.offer('slow');
      vm.offer('slow');
      vm.kickCommands();
      await until(() => vm.device.parked.length === 2);
      vm.interrupts(0);
      assert.equal(await vm.vringBase(0), 2);
      assert.equal(vm.commandq.usedIndex, 2);
      assert.equal(vm.interrupts(0), 1);
      assert.equal(vm.commandq.usedElement(0).length, 7);
    });

    it('stops when the driver breaks it, and says so on its error descriptor', async () => {
      vm.ram.bytes.writeUInt16LE(100, 0x8_0002);
      vm.kickCommands();
      await until(() => native.drain(vm.error[0]!) === 1);
      vm.ram.bytes.writeUInt16LE(0, 0x8_0002);
      vm.offer('ping');
      vm.kickCommands();
      await settle();
      assert.equal(vm.commandq.usedIndex, 0);
      assert.deepEqual(vm.ends, []);
      assert.equal(vm.device.event('the other one runs'), false);
      assert.deepEqual(vm.device.history, []);
      // After a reset the ring works again.
      await say.qemuStop(vm);
      assert.deepEqual(vm.device.history, ['stopped 0', 'stopped 1']);
      vm.newDriver(8);
      await say.qemuStart(vm, { slots: true, first: false });
      await works1();
    });

    it('stops when its memory is removed, and says so on its error descriptor (T12)', async () => {
      assert.equal(await vm.control.tell(Ask.REM_MEM_REG, singleRegion(vm.regionBody())), 0n);
      assert.equal(native.drain(vm.error[0]!), 1);
      assert.equal(native.drain(vm.error[1]!), 1);
      vm.kickCommands();
      await settle();
      assert.equal(vm.device.queues[0]?.stopped, true);
      assert.equal(vm.device.queues[0]?.pop(), null);
      assert.equal(vm.device.event('nowhere'), false);
      assert.equal(await vm.vringBase(0), 0);
      assert.deepEqual(vm.ends, []);
    });

    it('answers a chain that was parked when its memory went with nothing', async () => {
      vm.device.parks = true;
      vm.offer('slow');
      vm.kickCommands();
      await until(() => vm.device.parked.length === 1);
      await vm.control.tell(Ask.REM_MEM_REG, singleRegion(vm.regionBody()));
      const chain = vm.device.parked[0]!;
      assert.equal(chain.reply([Buffer.from('late')]), 0);
      vm.device.queues[0]?.push(chain, 0);
      assert.equal(vm.commandq.usedIndex, 0);
      assert.equal(await vm.vringBase(1), 0);
    });

    it('goes on in memory that was replaced under it', async () => {
      await works1();
      // The same RAM moves to another guest address, and a new region is added. Rings keep their front-end addresses.
      const more = native.memoryFile('test-more', 65536);
      const table = memoryTable(
        region(0x1_0000_0000, 4 * 1024 * 1024, 0x7f00_0000_0000, 0),
        region(0, 65536, 0, 0),
      );
      assert.equal(await vm.control.tell(Ask.SET_MEM_TABLE, table, [vm.ram.fd, more]), 0n);
      closeSync(more);
      await works1();
      assert.deepEqual(vm.device.history, []);
      assert.equal(native.drain(vm.error[0]!) > 0, false);
    });

    it('keeps the old memory when a new table is refused', async () => {
      const table = memoryTable(region(0, 64 * 1024 * 1024, 0, 0));
      assert.notEqual(await vm.control.tell(Ask.SET_MEM_TABLE, table, [vm.ram.fd]), 0n);
      await works1();
    });
  });
});
