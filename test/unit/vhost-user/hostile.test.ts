/**
 * Bytes that no VMM sends (T8, T9). The back-end must not throw, every descriptor must be closed, and the next
 * connection must work.
 */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { native } from '../../../src/native.js';
import type { BackendOptions } from '../../../src/vhost-user/features.js';
import { Ask } from '../../support/front-end-messages.js';
import { settle, until } from '../../support/until.js';
import * as say from './support/transcripts.js';
import { Vm } from './support/vm.js';
import { message, openDescriptors, PLAIN, state, u64, withoutLog } from './support/vmm.js';

/** xorshift32: the same bytes in every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

describe('a hostile front-end', () => {
  withoutLog();
  let before: number;

  beforeEach(() => {
    before = openDescriptors();
  });

  afterEach(async () => {
    await settle(5);
    assert.equal(openDescriptors(), before, 'descriptors leaked');
  });

  const withVm = async (run: (vm: Vm) => Promise<void>, options: BackendOptions = {}) => {
    const vm = new Vm(options);
    try {
      await run(vm);
    } finally {
      vm.close();
    }
  };

  it('sends 40 garbage headers with descriptors', async () => {
    const next = random(1);
    for (let count = 0; count < 40; count++)
      await withVm(async (vm) => {
        const garbage = Buffer.from(Array.from({ length: 12 + (next() % 64) }, () => next() & 0xff));
        // Some have a valid version, so that their size is checked too.
        if (count % 2) garbage.writeUInt32LE(1, 4);
        const descriptors = [native.eventFd(), native.memoryFile('test', 4096)];
        vm.control.raw(garbage, descriptors);
        for (const fd of descriptors) closeSync(fd);
        await settle(3);
      });
  });

  it('sends every message of a start in single bytes (T8)', () =>
    withVm(async (vm) => {
      const slowly = async (request: number, flags: number, body: Buffer, descriptors: number[] = []) => {
        const whole = message(request, flags, body);
        for (let at = 0; at < whole.length; at++) {
          vm.control.raw(whole.subarray(at, at + 1), at === 0 ? descriptors : []);
          if (at % 3 === 0) await settle(1);
        }
      };
      await slowly(Ask.SET_FEATURES, PLAIN, u64(say.FEATURES));
      await slowly(Ask.SET_MEM_TABLE, PLAIN, ...vm.memoryTable());
      for (const index of [0, 1]) {
        await slowly(Ask.SET_VRING_NUM, PLAIN, vm.ringSize(index));
        await slowly(Ask.SET_VRING_ADDR, PLAIN, vm.addressOf(index));
        await slowly(Ask.SET_VRING_BASE, PLAIN, state(index, 0));
        await slowly(Ask.SET_VRING_CALL, PLAIN, ...vm.callOf(index));
        await slowly(Ask.SET_VRING_KICK, PLAIN, ...vm.kickOf(index));
        await slowly(Ask.SET_VRING_ENABLE, PLAIN, state(index, 1));
      }
      assert.equal(await vm.command('ping'), 'echo:ping');
    }));

  it('says random things in well-formed messages', async () => {
    const next = random(2);
    for (let round = 0; round < 40; round++)
      await withVm(async (vm) => {
        await vm.control.say(Ask.SET_PROTOCOL_FEATURES, u64(say.QEMU));
        for (let count = 0; count < 50 && vm.ends.length === 0; count++) {
          const request = next() % 50;
          const size = [0, 8, 12, 40, 52][next() % 5] as number;
          const body = Buffer.from(Array.from({ length: size }, () => (next() % 3 ? 0 : next() & 0xff)));
          const lent = next() % 3 ? [] : [next() % 2 ? native.eventFd() : native.memoryFile('test', 65536)];
          native.send(vm.control.fd, message(request, next() % 2 ? 9 : 1, body), lent);
          for (const fd of lent) closeSync(fd);
          await settle(1);
          vm.control.poll();
        }
      });
  });

  it('says random things to a device that runs', async () => {
    const next = random(3);
    for (let round = 0; round < 20; round++)
      await withVm(async (vm) => {
        await say.qemuRealize(vm, false);
        await say.qemuStart(vm);
        vm.postEvents(8);
        for (let count = 0; count < 40 && vm.ends.length === 0; count++) {
          const index = next() % 3;
          const lent = [native.eventFd()];
          const [request, body, descriptors] = [
            [Ask.SET_VRING_ENABLE, state(index, next() % 2), []],
            [Ask.SET_VRING_KICK, u64(index), lent],
            [Ask.SET_VRING_CALL, u64(index), lent],
            [Ask.GET_VRING_BASE, state(index, 0), []],
            [Ask.SET_VRING_BASE, state(index, next() % 65536), []],
            [Ask.SET_VRING_NUM, state(index, 1 << (next() % 17)), []],
            [Ask.SET_VRING_ADDR, vm.addressOf(index % 2, 16 * (next() % 64)), []],
            [Ask.SET_MEM_TABLE, ...vm.memoryTable()],
            [Ask.RESET_DEVICE, Buffer.alloc(0), []],
            [Ask.SET_STATUS, u64(next() % 2), []],
          ][next() % 10] as [number, Buffer, number[]];
          native.send(vm.control.fd, message(request, 9, body), descriptors);
          closeSync(lent[0]!);
          vm.ram.bytes.writeUInt16LE(next() % 16, 0x8_0002);
          vm.kickCommands();
          await settle(1);
          vm.control.poll();
        }
        assert.deepEqual(vm.ends, []);
      });
  });

  it('asks and never reads', () =>
    withVm(async (vm) => {
      await vm.control.say(Ask.SET_PROTOCOL_FEATURES, u64(say.QEMU));
      const asked = Buffer.concat(
        Array.from({ length: 200 }, () => message(Ask.GET_SHMEM_CONFIG, PLAIN, Buffer.alloc(0))),
      );
      for (let count = 0; count < 20 && vm.ends.length === 0; count++) {
        native.send(vm.control.fd, asked, []);
        await settle(5);
      }
      await until(() => vm.ends.length === 1);
      assert.equal((vm.ends[0] as { code?: string }).code, 'ERR_VHOST_UNREAD');
    }));

  it('asks for objects and reads late: the answers that found no room come without a descriptor', () =>
    withVm(
      async (vm) => {
        await say.qemuRealize(vm, false, say.OBJECTS);
        await say.qemuStart(vm);
        const file = native.memoryFile('test', 4096);
        vm.device.objects.set('07'.repeat(16), file);
        const asked = message(Ask.GET_SHARED_OBJECT, PLAIN, Buffer.alloc(16, 7));
        for (let count = 0; count < 500; count++) {
          vm.control.raw(asked);
          if (count % 20 === 0) await settle(1);
        }
        const came: number[] = [];
        for (let count = 0; count < 500; count++) {
          const { request, body, descriptors } = await vm.control.next();
          for (const fd of descriptors) closeSync(fd);
          assert.deepEqual([request, body.length], [Ask.GET_SHARED_OBJECT, 0]);
          came.push(descriptors.length);
        }
        closeSync(file);
        assert.ok(came.includes(0) && came.includes(1), 'the socket was never full');
        assert.deepEqual(vm.ends, []);
      },
      { objects: true },
    ));

  it('asks for objects and never reads', () =>
    withVm(
      async (vm) => {
        await say.qemuRealize(vm, false, say.OBJECTS);
        await say.qemuStart(vm);
        const file = native.memoryFile('test', 4096);
        vm.device.objects.set('07'.repeat(16), file);
        const asked = Buffer.concat(
          Array.from({ length: 500 }, () => message(Ask.GET_SHARED_OBJECT, PLAIN, Buffer.alloc(16, 7))),
        );
        for (let count = 0; count < 100 && vm.ends.length === 0; count++) {
          native.send(vm.control.fd, asked, []);
          await settle(10);
        }
        closeSync(file);
        await until(() => vm.ends.length === 1);
        assert.equal((vm.ends[0] as { code?: string }).code, 'ERR_VHOST_UNREAD');
      },
      { objects: true },
    ));

  it('leaves in the middle of everything', async () => {
    for (const steps of [1, 2, 3])
      await withVm(async (vm) => {
        await say.qemuRealize(vm, false);
        if (steps > 1) await say.qemuStart(vm);
        if (steps > 2) {
          vm.device.parks = true;
          vm.offer('slow');
          vm.kickCommands();
          await until(() => vm.device.parked.length === 1);
        }
        vm.control.raw(
          message(Ask.SET_MEM_TABLE, 9, vm.memoryTable()[0]).subarray(0, 20),
          vm.memoryTable()[1],
        );
        const [ours, theirs] = native.socketPair();
        closeSync(theirs);
        closeSync(vm.control.fd);
        Object.defineProperty(vm.control, 'fd', { value: ours });
        await until(() => vm.ends.length === 1);
        assert.equal((vm.ends[0] as { code?: string }).code, 'ERR_VHOST_TRUNCATED');
        assert.equal(vm.commandq.usedIndex, steps > 2 ? 1 : 0);
      });
  });
});
