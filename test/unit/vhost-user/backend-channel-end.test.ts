/**
 * The end of the back-end channel: who closes it, and what becomes of the requests that are under way. The device is a
 * FAKE; the VMM answers when the test tells it to.
 */
import assert from 'node:assert/strict';
import { native } from '../../../src/native.js';
import { Ask } from '../../support/front-end-messages.js';
import { until } from '../../support/until.js';
import { MAP, mappings, SLOT, UNMAP } from './support/mappings.js';
import * as say from './support/transcripts.js';
import type { Vm } from './support/vm.js';
import { config, PLAIN, REPLY, state, u64 } from './support/vmm.js';

describe('the end of the back-end channel', () => {
  let vm: Vm;
  let file: number;
  const { open, done, map, take, answer } = mappings((made, mapped) => {
    vm = made;
    file = mapped;
  });

  beforeEach(async () => {
    open();
    await say.qemuRealize(vm, false);
    await say.qemuStart(vm);
  });

  it('closes at the first ENABLE 0, and before the queue is told to stop', async () => {
    const { device } = vm;
    const stopped = device.queueStopped.bind(device);
    device.queueStopped = (index) => {
      map(`while ${index} stops`);
      stopped(index);
    };
    await vm.control.tell(Ask.SET_VRING_ENABLE, state(1, 0));
    await until(() => done.length === 1);
    map('one ring runs');
    await until(() => done.length === 2);
    assert.deepEqual(
      done.map(([, errno]) => errno),
      [16, 16],
    );
    assert.equal(vm.channel!.poll(), undefined);
    device.queueStopped = stopped;
  });

  it('closes at GET_VRING_BASE, and when a ring breaks', async () => {
    vm.ram.bytes.writeUInt16LE(100, 0x8_0002);
    vm.kickCommands();
    await until(() => native.drain(vm.error[0]!) === 1);
    map('broken');
    await until(() => done.length === 1);
    assert.deepEqual(done, [['broken', 16]]);
    await vm.vringBase(1);
    map('stopped');
    await until(() => done.length === 2);
  });

  it('is open while the last ring is scanned', async () => {
    await say.qemuStop(vm);
    vm.device.onStarted = (index) => map(`ring ${index}`);
    await say.qemuStart(vm, { first: false });
    await take(MAP);
    await until(() => done.length === 1);
    assert.deepEqual(done, [['ring 0', 16]]);
  });

  it('ends with ECONNRESET when the channel goes, and the device goes on', async () => {
    map('a');
    await take(MAP);
    map('b');
    vm.channel!.close();
    vm.channel = null;
    await until(() => done.length === 2);
    map('c');
    await until(() => done.length === 3);
    assert.deepEqual(done, [
      ['a', 104],
      ['b', 104],
      ['c', 104],
    ]);
    assert.equal(await vm.command('ping'), 'echo:ping');
    // A new channel works too.
    await vm.control.tell(Ask.SET_BACKEND_REQ_FD, Buffer.alloc(0), [vm.newChannel()]);
    vm.closeLent();
    map('d');
    await take(MAP);
  });

  it('ends with ECONNRESET when the VMM goes, before the device is disconnected', async () => {
    map('a');
    const { device } = vm;
    device.disconnected = () => {
      done.push(['disconnected', 0]);
    };
    vm.backend.close();
    assert.deepEqual(done, [
      ['a', 104],
      ['disconnected', 0],
    ]);
  });

  for (const [what, request, flags, body] of [
    ['to nothing', MAP, REPLY, u64(0)],
    ['that is short', MAP, REPLY, Buffer.alloc(4)],
    ['that is no reply', MAP, PLAIN, u64(0)],
  ] as const)
    it(`drops the channel at a reply ${what}, and keeps the connection`, async () => {
      if (what !== 'to nothing') map('a');
      vm.channel!.send(request, flags, body);
      await until(() => vm.channel!.ended);
      if (what !== 'to nothing') assert.deepEqual(done, [['a', 104]]);
      assert.equal(await vm.command('ping'), 'echo:ping');
      assert.deepEqual(vm.ends, []);
    });

  it('drops the channel at a reply with a descriptor, or to another request', async () => {
    map('a');
    vm.channel!.send(MAP, REPLY, u64(0), [file]);
    await until(() => vm.channel!.ended);
    await vm.control.tell(Ask.SET_BACKEND_REQ_FD, Buffer.alloc(0), [vm.newChannel()]);
    vm.closeLent();
    map('b');
    answer(UNMAP, 0);
    await until(() => vm.channel!.ended);
    assert.deepEqual(done, [
      ['a', 104],
      ['b', 104],
    ]);
  });

  it('stops the device when a result is not taken, and keeps the connection', async () => {
    vm.device.transport!.map(file, 0, 0, SLOT, () => {
      throw new Error('a bug of the device');
    });
    answer(MAP, 0);
    await until(() => vm.device.calls.includes('reset'));
    assert.equal((await vm.control.ask(Ask.GET_CONFIG, config(0, 40))).length, 52);
    assert.deepEqual(vm.ends, []);
  });

  it('stops the device when a refusal is not taken, and keeps the connection', async () => {
    await say.qemuStop(vm);
    vm.device.transport!.map(file, 0, 0, SLOT, () => {
      throw new Error('a bug of the device');
    });
    await until(() => vm.device.calls.includes('reset'));
    assert.deepEqual(vm.ends, []);
  });
});
