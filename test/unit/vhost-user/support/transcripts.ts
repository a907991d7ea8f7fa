/**
 * VMM transcripts: the messages of four VMMs, in their order and with their flags (reference: vhost-user.md 4.3, 5,
 * 6, 7; qemu-qtest.md 2).
 */
import assert from 'node:assert/strict';
import { Ask } from '../../../support/front-end-messages.js';
import type { Vm } from './vm.js';
import { PLAIN, singleRegion, state, u64 } from './vmm.js';

export const bits = (...numbers: number[]) =>
  numbers.reduce((set, number) => set | (1n << BigInt(number)), 0n);

/** VERSION_1, INDIRECT_DESC, EVENT_IDX and PROTOCOL_FEATURES. */
export const FEATURES = bits(28, 29, 30, 32);
export const QEMU = bits(0, 3, 5, 9, 10, 22);
export const QEMU_SLOTS = QEMU | bits(15);
/** SHARED_OBJECT. QEMU accepts it if it is offered. */
export const OBJECTS = bits(18);
export const CROSVM = bits(0, 3, 5, 9, 22);
export const LIBKRUN = bits(0, 5, 9, 22);
export const CLOUD_HYPERVISOR = bits(0, 3, 5, 9, 15);

const both = [0, 1] as const;
const accepted = async (acknowledgement: Promise<bigint>) => assert.equal(await acknowledgement, 0n);

export async function qemuRealize(vm: Vm, slots: boolean, more = 0n): Promise<void> {
  const { control } = vm;
  assert.equal((await control.ask(Ask.GET_FEATURES)).readBigUInt64LE(), FEATURES);
  const protocol = (slots ? QEMU_SLOTS : QEMU) | more;
  assert.equal((await control.ask(Ask.GET_PROTOCOL_FEATURES)).readBigUInt64LE(), protocol);
  control.send(Ask.SET_PROTOCOL_FEATURES, PLAIN, u64(protocol));
  assert.equal((await control.ask(Ask.GET_QUEUE_NUM)).readBigUInt64LE(), 2n);
  if (slots) assert.equal((await control.ask(Ask.GET_MAX_MEM_SLOTS)).readBigUInt64LE(), 512n);
  await accepted(control.tell(Ask.SET_BACKEND_REQ_FD, Buffer.alloc(0), [vm.newChannel()]));
  vm.closeLent();
  control.send(Ask.SET_OWNER, PLAIN);
  await control.ask(Ask.GET_FEATURES);
  for (const index of both) {
    await accepted(control.tell(Ask.SET_VRING_CALL, ...vm.callOf(index)));
    await accepted(control.tell(Ask.SET_VRING_ERR, ...vm.errorOf(index)));
  }
  const shm = await control.ask(Ask.GET_SHMEM_CONFIG);
  assert.equal(shm.length, 2056);
  assert.equal(shm.readUInt32LE(0), 1);
  assert.equal(shm.readBigUInt64LE(8), BigInt(vm.device.sharedMemorySize));
  assert.ok(shm.subarray(16).every((byte) => byte === 0));
}

/** What QEMU sends at DRIVER_OK and at `cont`. Memory slots are sent only the first time. */
export async function qemuStart(vm: Vm, { slots = false, first = true, bases = [0, 0] } = {}): Promise<void> {
  const { control } = vm;
  control.send(Ask.SET_FEATURES, PLAIN, u64(FEATURES));
  if (!slots) await accepted(control.tell(Ask.SET_MEM_TABLE, ...vm.memoryTable()));
  else if (first) await accepted(control.tell(Ask.ADD_MEM_REG, singleRegion(vm.regionBody()), [vm.ram.fd]));
  for (const index of both) {
    control.send(Ask.SET_VRING_NUM, PLAIN, vm.ringSize(index));
    control.send(Ask.SET_VRING_BASE, PLAIN, state(index, bases[index]!));
    control.send(Ask.SET_VRING_ADDR, PLAIN, vm.addressOf(index));
    await accepted(control.tell(Ask.SET_VRING_KICK, ...vm.kickOf(index)));
    await accepted(control.tell(Ask.SET_VRING_CALL, ...vm.callOf(index)));
  }
  for (const index of both) await accepted(control.tell(Ask.SET_VRING_ENABLE, state(index, 1)));
  for (const index of both) await accepted(control.tell(Ask.SET_VRING_CALL, ...vm.callOf(index)));
}

/** What QEMU sends at `stop` and at a reset by the guest. Resolves to the bases. */
export async function qemuStop(vm: Vm): Promise<number[]> {
  for (const index of both) await accepted(vm.control.tell(Ask.SET_VRING_ENABLE, state(index, 0)));
  return [await vm.vringBase(0), await vm.vringBase(1)];
}

export async function crosvmConnect(vm: Vm): Promise<void> {
  const { control } = vm;
  control.send(Ask.SET_OWNER, PLAIN);
  await control.ask(Ask.GET_FEATURES);
  await control.ask(Ask.GET_PROTOCOL_FEATURES);
  control.send(Ask.SET_PROTOCOL_FEATURES, PLAIN, u64(CROSVM));
  await control.say(Ask.SET_BACKEND_REQ_FD, Buffer.alloc(0), [vm.newChannel()]);
  vm.closeLent();
  assert.equal((await control.ask(Ask.GET_QUEUE_NUM)).readBigUInt64LE(), 2n);
  assert.equal((await control.ask(Ask.GET_SHMEM_CONFIG)).length, 2056);
}

/** Addresses come before bases, and queue 0 runs before queue 1 is configured. */
export async function crosvmActivate(vm: Vm, { features = true, bases = [0, 0] } = {}): Promise<void> {
  const { control } = vm;
  // EVENT_IDX, PROTOCOL_FEATURES and VERSION_1, but never INDIRECT_DESC. They are sent only after a change.
  if (features) control.send(Ask.SET_FEATURES, PLAIN, u64(bits(29, 30, 32)));
  await control.say(Ask.SET_MEM_TABLE, ...vm.memoryTable());
  for (const index of both) {
    control.send(Ask.SET_VRING_NUM, PLAIN, vm.ringSize(index));
    control.send(Ask.SET_VRING_ADDR, PLAIN, vm.addressOf(index));
    control.send(Ask.SET_VRING_BASE, PLAIN, state(index, bases[index]!));
    control.send(Ask.SET_VRING_CALL, PLAIN, ...vm.callOf(index));
    control.send(Ask.SET_VRING_KICK, PLAIN, ...vm.kickOf(index));
    await control.say(Ask.SET_VRING_ENABLE, state(index, 1));
  }
}

export async function crosvmDeactivate(vm: Vm): Promise<number[]> {
  const bases: number[] = [];
  for (const index of both) {
    vm.control.send(Ask.SET_VRING_ENABLE, PLAIN, state(index, 0));
    bases.push(await vm.vringBase(index));
  }
  return bases;
}

export async function libkrunConnect(vm: Vm): Promise<void> {
  const { control } = vm;
  await control.ask(Ask.GET_FEATURES);
  await control.ask(Ask.GET_PROTOCOL_FEATURES);
  await control.say(Ask.SET_PROTOCOL_FEATURES, u64(LIBKRUN));
}

/** Memory comes before features, the base is always 0, and both rings have one call descriptor. */
export async function libkrunActivate(vm: Vm): Promise<void> {
  const { control } = vm;
  control.send(Ask.SET_OWNER, PLAIN);
  await control.say(Ask.SET_BACKEND_REQ_FD, Buffer.alloc(0), [vm.newChannel()]);
  vm.closeLent();
  await control.say(Ask.SET_MEM_TABLE, ...vm.memoryTable());
  control.send(Ask.SET_FEATURES, PLAIN, u64(FEATURES));
  for (const index of both) {
    control.send(Ask.SET_VRING_NUM, PLAIN, vm.ringSize(index));
    control.send(Ask.SET_VRING_BASE, PLAIN, state(index, 0));
    control.send(Ask.SET_VRING_ADDR, PLAIN, vm.addressOf(index));
    control.send(Ask.SET_VRING_KICK, PLAIN, ...vm.kickOf(index));
    control.send(Ask.SET_VRING_CALL, PLAIN, u64(index), [vm.call[0]!]);
    await control.say(Ask.SET_VRING_ENABLE, state(index, 1));
  }
}

/** libkrun sends no GET_VRING_BASE, and closes the channel. */
export async function libkrunReset(vm: Vm): Promise<void> {
  for (const index of both) await vm.control.say(Ask.SET_VRING_ENABLE, state(index, 0));
  vm.channel?.close();
  vm.channel = null;
}

/** `again`: a reconnect, in which GET_PROTOCOL_FEATURES is not sent. */
export async function cloudHypervisorConnect(vm: Vm, again = false): Promise<void> {
  const { control } = vm;
  control.send(Ask.SET_OWNER, PLAIN);
  await control.ask(Ask.GET_FEATURES);
  if (!again) await control.ask(Ask.GET_PROTOCOL_FEATURES);
  control.send(Ask.SET_PROTOCOL_FEATURES, PLAIN, u64(CLOUD_HYPERVISOR));
  assert.equal((await control.ask(Ask.GET_QUEUE_NUM)).readBigUInt64LE(), 2n);
}

/** Every request has NEED_REPLY, the base is the driver's available index, and the channel comes last. */
export async function cloudHypervisorActivate(vm: Vm): Promise<void> {
  const { control } = vm;
  await accepted(control.tell(Ask.SET_FEATURES, u64(FEATURES)));
  await accepted(control.tell(Ask.SET_MEM_TABLE, ...vm.memoryTable()));
  for (const index of both) await accepted(control.tell(Ask.SET_VRING_NUM, vm.ringSize(index)));
  for (const index of both) {
    const { availableIndex } = index === 0 ? vm.commandq : vm.eventq;
    await accepted(control.tell(Ask.SET_VRING_ADDR, vm.addressOf(index)));
    await accepted(control.tell(Ask.SET_VRING_BASE, state(index, availableIndex)));
    await accepted(control.tell(Ask.SET_VRING_CALL, ...vm.callOf(index)));
    await accepted(control.tell(Ask.SET_VRING_KICK, ...vm.kickOf(index)));
  }
  for (const index of both) await accepted(control.tell(Ask.SET_VRING_ENABLE, state(index, 1)));
  await accepted(control.tell(Ask.SET_BACKEND_REQ_FD, Buffer.alloc(0), [vm.newChannel()]));
  vm.closeLent();
}

export async function enableAll(vm: Vm, enabled: 0 | 1): Promise<void> {
  for (const index of both) await accepted(vm.control.tell(Ask.SET_VRING_ENABLE, state(index, enabled)));
}
