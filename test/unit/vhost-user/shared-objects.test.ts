/** The back-end announces shared objects. The device is a FAKE; a memory file stands for a DMABUF. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { MAX_UNANSWERED } from '../../../src/vhost-user/backend-channel.js';
import { MAX_UNANSWERED_OBJECTS } from '../../../src/vhost-user/shared-objects.js';
import { Ask } from '../../support/front-end-messages.js';
import { settle, until } from '../../support/until.js';
import { ADD, CONFIG_CHANGE, MAP, mappings, REMOVE, SLOT, UNMAP } from './support/mappings.js';
import * as say from './support/transcripts.js';
import type { Vm } from './support/vm.js';
import { NEED_REPLY, PLAIN, u64, uuid } from './support/vmm.js';

describe('shared objects', () => {
  let vm: Vm;
  let file: number;
  const { open, answer } = mappings((made, mapped) => {
    vm = made;
    file = mapped;
  });

  const qemu = async () => {
    open({ objects: true });
    await say.qemuRealize(vm, false, say.OBJECTS);
  };

  const add = (last: number) => vm.device.transport!.addObject(uuid(last));
  const remove = (last: number) => vm.device.transport!.removeObject(uuid(last));

  /** All requests that have arrived, each with the last byte of its UUID. */
  const told = () => {
    const all: [number, number | undefined][] = [];
    for (let message = vm.channel!.poll(); message; message = vm.channel!.poll()) {
      for (const fd of message.descriptors) closeSync(fd);
      all.push([message.request, message.body.at(15)]);
    }
    return all;
  };

  describe('are announced', () => {
    beforeEach(async () => {
      await qemu();
      await say.qemuStart(vm);
    });

    it('by a UUID, with a reply', async () => {
      add(1);
      remove(1);
      for (const request of [ADD, REMOVE]) {
        const { body, ...rest } = await vm.channel!.next();
        assert.deepEqual(rest, { request, flags: NEED_REPLY, descriptors: [] });
        assert.deepEqual([...body], [...uuid(1)]);
      }
      answer(ADD, 0);
      answer(REMOVE, 0);
      await settle();
      assert.equal(vm.channel!.ended, false);
    });

    it('with the UUID that they had', () => {
      const reused = uuid(1);
      vm.device.transport!.addObject(reused);
      reused.fill(0);
      vm.device.transport!.removeObject(uuid(1));
      assert.deepEqual(told(), [
        [ADD, 1],
        [REMOVE, 1],
      ]);
    });

    it('between mappings: replies are matched in order', async () => {
      const done: number[] = [];
      const map = (offset: number) =>
        vm.device.transport!.map(file, 0, offset, SLOT, (errno) => done.push(errno));
      map(0);
      add(1);
      map(SLOT);
      remove(1);
      assert.deepEqual(
        told().map(([request]) => request),
        [MAP, ADD, MAP, REMOVE],
      );
      answer(MAP, 0);
      answer(ADD, 1);
      answer(MAP, 1);
      answer(REMOVE, 0xffff_ffff_ffff_ffffn);
      await until(() => done.length === 2);
      assert.deepEqual(done, [0, 5]);
      map(2 * SLOT);
      assert.deepEqual(told(), [[MAP, 0]]);
    });

    it('and the channel ends at a reply in another order', async () => {
      const done: number[] = [];
      add(1);
      vm.device.transport!.map(file, 0, 0, SLOT, (errno) => done.push(errno));
      answer(MAP, 0);
      await until(() => vm.channel!.ended);
      assert.deepEqual(done, [104]);
      assert.equal(await vm.command('ping'), 'echo:ping');
    });

    it('once, and taken back once', () => {
      remove(1);
      add(1);
      add(1);
      remove(1);
      remove(1);
      assert.deepEqual(told(), [
        [ADD, 1],
        [REMOVE, 1],
      ]);
    });

    it('and taken back also when the VMM refused them', async () => {
      add(1);
      answer(ADD, 1);
      await settle();
      remove(1);
      assert.deepEqual(told(), [
        [ADD, 1],
        [REMOVE, 1],
      ]);
    });

    it('a few at a time, with room for mappings', async () => {
      for (let index = 0; index < MAX_UNANSWERED_OBJECTS + 2; index++) add(index);
      remove(0);
      assert.equal(told().length, MAX_UNANSWERED_OBJECTS);
      vm.device.transport!.map(file, 0, 0, SLOT, () => {});
      assert.deepEqual(told(), [[MAP, 0]]);
      for (const next of [
        [ADD, MAX_UNANSWERED_OBJECTS],
        [ADD, MAX_UNANSWERED_OBJECTS + 1],
        [REMOVE, 0],
      ]) {
        answer(ADD, 0);
        const { request, body } = await vm.channel!.next();
        assert.deepEqual([request, body[15]], next);
      }
    });

    it('when there is room again, after mappings', async () => {
      for (let count = 0; count < MAX_UNANSWERED; count++) {
        vm.device.transport!.unmap(0, SLOT, () => {});
        if (count % 64 === 0) told();
      }
      add(1);
      assert.ok(told().every(([request]) => request === UNMAP));
      answer(UNMAP, 0);
      const { request } = await vm.channel!.next();
      assert.equal(request, ADD);
    });

    it('again on another channel where the first was lost', async () => {
      add(1);
      add(2);
      answer(ADD, 0);
      await settle();
      remove(1);
      vm.channel!.close();
      vm.channel = null;
      await settle();
      add(3);
      await vm.control.tell(Ask.SET_BACKEND_REQ_FD, Buffer.alloc(0), [vm.newChannel()]);
      vm.closeLent();
      assert.deepEqual(told(), [
        [ADD, 2],
        [REMOVE, 1],
        [ADD, 3],
      ]);
    });
  });

  describe('while the device does not run', () => {
    it('are announced with the last ring that starts', async () => {
      await qemu();
      const { device } = vm;
      const connected = device.connected.bind(device);
      device.connected = (memory, transport) => {
        connected(memory, transport);
        transport.addObject(uuid(1));
      };
      const seen: unknown[] = [];
      device.onStarted = (index) => seen.push([index, told()]);
      await say.qemuStart(vm);
      assert.deepEqual(seen, [
        [0, []],
        [1, [[ADD, 1]]],
      ]);
    });

    it('wait for the next start: what came and went untold is never told', async () => {
      await qemu();
      await say.qemuStart(vm);
      add(1);
      add(2);
      answer(ADD, 0);
      answer(ADD, 0);
      await settle();
      told();
      const bases = await say.qemuStop(vm);
      add(3);
      remove(2);
      add(4);
      remove(4);
      remove(1);
      add(1);
      await settle();
      assert.deepEqual(told(), []);
      await say.qemuStart(vm, { first: false, bases });
      assert.deepEqual(told(), [
        [ADD, 3],
        [REMOVE, 2],
      ]);
    });

    it('are not announced from a queue that stops', async () => {
      await qemu();
      await say.qemuStart(vm);
      add(1);
      told();
      const { device } = vm;
      const stopped = device.queueStopped.bind(device);
      device.queueStopped = (index) => {
        remove(1);
        add(2);
        stopped(index);
      };
      await say.qemuStop(vm);
      assert.deepEqual(told(), []);
    });

    it('are remembered by the VMM over a reset: only changes are told', async () => {
      await qemu();
      await say.qemuStart(vm);
      add(1);
      add(2);
      told();
      await vm.command('ping');
      await say.qemuStop(vm);
      vm.newDriver(8);
      const { device } = vm;
      const reset = device.reset.bind(device);
      device.reset = () => {
        reset();
        remove(2);
      };
      await say.qemuStart(vm, { first: false });
      assert.ok(device.history.includes('reset'));
      assert.deepEqual(told(), [[REMOVE, 2]]);
    });
  });

  describe('are not announced', () => {
    it('to a VMM that did not negotiate them', async () => {
      open({ objects: true });
      await say.crosvmConnect(vm);
      await say.crosvmActivate(vm);
      add(1);
      remove(1);
      add(2);
      assert.deepEqual(told(), []);
    });

    it('without a channel', async () => {
      open({ objects: true });
      await vm.control.say(
        Ask.SET_PROTOCOL_FEATURES,
        u64((say.CLOUD_HYPERVISOR & ~say.bits(5, 15)) | say.OBJECTS),
      );
      await say.qemuStart(vm);
      add(1);
      remove(1);
      assert.equal(await vm.command('ping'), 'echo:ping');
    });
  });

  it('are announced without SHMEM, and to a VMM that never answers', async () => {
    open({ objects: true });
    const protocol = say.bits(0, 5, 9) | say.OBJECTS;
    await vm.control.say(Ask.SET_PROTOCOL_FEATURES, u64(protocol));
    vm.control.send(Ask.SET_BACKEND_REQ_FD, PLAIN, Buffer.alloc(0), [vm.newChannel()]);
    await say.libkrunActivate(vm);
    add(1);
    const { request, flags } = await vm.channel!.next();
    assert.deepEqual([request, flags], [ADD, PLAIN]);
    assert.equal((await vm.channel!.next()).request, CONFIG_CHANGE);
  });
});
