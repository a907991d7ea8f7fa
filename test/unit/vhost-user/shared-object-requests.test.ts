/** The VMM asks for shared objects. The device is a FAKE; a memory file stands for a DMABUF. */
import assert from 'node:assert/strict';
import { closeSync, fstatSync } from 'node:fs';
import { native } from '../../../src/native.js';
import { Ask } from '../../support/front-end-messages.js';
import { mappings, SLOT } from './support/mappings.js';
import * as say from './support/transcripts.js';
import type { Vm } from './support/vm.js';
import { NEED_REPLY, PLAIN, REPLY, uuid } from './support/vmm.js';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe('shared objects are asked for', () => {
  let vm: Vm;
  let file: number;
  const { open } = mappings((made, mapped) => {
    vm = made;
    file = mapped;
  });

  const qemu = async () => {
    open({ objects: true });
    await say.qemuRealize(vm, false, say.OBJECTS);
  };

  const ask = async (body: Uint8Array, flags = PLAIN) => {
    vm.control.send(Ask.GET_SHARED_OBJECT, flags, body);
    const { descriptors, ...rest } = await vm.control.next();
    assert.deepEqual(rest, { request: Ask.GET_SHARED_OBJECT, flags: REPLY, body: Buffer.alloc(0) });
    return descriptors;
  };

  beforeEach(async () => {
    await qemu();
    vm.device.objects.set(hex(uuid(1)), file);
  });

  it('and come as a descriptor of the same file, each time', async () => {
    await say.qemuStart(vm);
    const other = native.memoryFile('test-other', SLOT);
    vm.device.objects.set(hex(uuid(2)), other);
    for (const [last, source] of [
      [1, file],
      [2, other],
      [1, file],
    ] as const) {
      const descriptors = await ask(uuid(last), last === 1 ? NEED_REPLY : PLAIN);
      assert.equal(descriptors.length, 1);
      assert.equal(fstatSync(descriptors[0]!).ino, fstatSync(source).ino);
      assert.notEqual(descriptors[0], source);
      closeSync(descriptors[0]!);
      assert.ok(fstatSync(source).isFile(), 'the device has lost its descriptor');
    }
    closeSync(other);
    await vm.control.ask(Ask.GET_FEATURES);
  });

  it('while the rings are stopped too', async () => {
    await say.qemuStart(vm);
    await say.qemuStop(vm);
    const [fd] = await ask(uuid(1));
    assert.equal(fstatSync(fd!).ino, fstatSync(file).ino);
    closeSync(fd!);
  });

  it('and come without a descriptor where there is none', async () => {
    await say.qemuStart(vm);
    assert.deepEqual(await ask(uuid(9)), []);
    assert.equal(vm.device.calls.at(-1), `asked for ${hex(uuid(9))}`);
    Object.defineProperty(vm.device, 'object', { value: undefined });
    assert.deepEqual(await ask(uuid(1)), []);
    assert.deepEqual(vm.ends, []);
  });

  it('without a UUID, as QEMU does: there is none', async () => {
    await say.qemuStart(vm);
    vm.device.forget();
    assert.deepEqual(await ask(Buffer.alloc(0)), []);
    assert.deepEqual(vm.device.calls, []);
    assert.deepEqual(vm.ends, []);
  });

  it('before the device is connected: there is none', async () => {
    assert.deepEqual(await ask(uuid(1)), []);
    assert.deepEqual(vm.device.calls, []);
  });
});
