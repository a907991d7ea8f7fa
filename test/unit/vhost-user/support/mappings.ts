/** A VM for each test of a suite whose device maps a file into SHM region 0 over the back-end channel. */
import assert from 'node:assert/strict';
import { closeSync, fstatSync } from 'node:fs';
import { native } from '../../../../src/native.js';
import { checkedVm } from './checked-vm.js';
import type { Vm } from './vm.js';
import { type Heard, REPLY, u64 } from './vmm.js';

/** "Back-end message types": CONFIG_CHANGE, SHARED_OBJECT_ADD and _REMOVE, SHMEM_MAP, SHMEM_UNMAP. */
export const CONFIG_CHANGE = 2;
export const ADD = 6;
export const REMOVE = 7;
export const MAP = 9;
export const UNMAP = 10;

export const SLOT = 65536;

/** Adds the hooks of a suite. `open` makes the VM of a test and the file that is mapped, and gives both to `made`. */
export function mappings(made: (vm: Vm, file: number) => void) {
  let vm: Vm;
  let file: number;
  /** Results of map() and unmap(), in the order of their arrival. */
  const done: [string, number][] = [];

  afterEach(() => closeSync(file));
  const openVm = checkedVm((opened) => {
    vm = opened;
  });
  const open = (...setup: ConstructorParameters<typeof Vm>) => {
    openVm(...setup);
    file = native.memoryFile('test-frames', 4 * SLOT);
    done.length = 0;
    made(vm, file);
  };

  const map = (name: string, offset = 0, fileOffset = 0, length = SLOT) =>
    vm.device.transport!.map(file, fileOffset, offset, length, (errno) => done.push([name, errno]));
  const unmap = (name: string, offset = 0, length = SLOT) =>
    vm.device.transport!.unmap(offset, length, (errno) => done.push([name, errno]));

  const heard = async (request: number): Promise<Heard> => {
    const message = await vm.channel!.next();
    assert.equal(message.request, request);
    return message;
  };

  const take = async (request: number): Promise<(number | undefined)[]> => {
    const message = await heard(request);
    const isOurs = message.descriptors.map((fd) => fstatSync(fd).ino === fstatSync(file).ino);
    for (const fd of message.descriptors) closeSync(fd);
    assert.deepEqual(isOurs, request === MAP ? [true] : []);
    return place(message);
  };

  const answer = (request: number, value: number | bigint) => vm.channel!.send(request, REPLY, u64(value));
  return { open, done, map, unmap, heard, take, answer };
}

/** Fields of a mapping message: shmid, fd offset, offset, length, flags. */
export function place({ body }: Heard): (number | undefined)[] {
  assert.equal(body.length, 40);
  assert.ok(body.subarray(1, 8).every((byte) => byte === 0));
  return [body[0], ...[8, 16, 24, 32].map((at) => Number(body.readBigUInt64LE(at)))];
}
