/**
 * The rings of the back-end: what starts and stops one, and what one survives. The device is a FAKE that echoes and
 * records.
 */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { native } from '../../../src/native.js';
import { Ask } from '../../support/front-end-messages.js';
import { settle, until } from '../../support/until.js';
import { checkedVm } from './support/checked-vm.js';
import * as say from './support/transcripts.js';
import type { Vm } from './support/vm.js';
import { memoryTable, openDescriptors, PLAIN, region, singleRegion, state, u64 } from './support/vmm.js';

describe('vhost-user rings', () => {
  let vm: Vm;
  const open = checkedVm((made) => {
    vm = made;
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
