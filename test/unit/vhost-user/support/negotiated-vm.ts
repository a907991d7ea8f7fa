/** A VM for each test of a suite, whose VMM has negotiated protocol features, and no more. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { native } from '../../../../src/native.js';
import { Ask } from '../../../support/front-end-messages.js';
import { until } from '../../../support/until.js';
import { checkedVm } from './checked-vm.js';
import type { Vm } from './vm.js';
import { region, singleRegion, u64 } from './vmm.js';

export const PAGE = 4096;
/** All protocol features that the back-end may offer. */
export const EVERYTHING = 0x44_8629n;

export const memory = () => [native.memoryFile('test', PAGE)];
export const event = () => [native.eventFd()];
export const aRegion = region(0x10_0000, PAGE, 0x7000_0000_0000, 0);

/** Closes descriptors that are sent when `run` is over. */
export async function lend<T>(descriptors: number[], run: () => T | Promise<T>): Promise<T> {
  try {
    return await run();
  } finally {
    for (const fd of descriptors) closeSync(fd);
  }
}

/** Adds the hooks of a suite. `open` makes the VM of a test, `openWith` one that has negotiated nothing yet. */
export function negotiatedVm(made: (vm: Vm) => void) {
  let vm: Vm;
  const openWith = checkedVm((opened) => {
    vm = opened;
    made(vm);
  });

  const open = async (protocol = EVERYTHING) => {
    openWith({ memSlots: true, objects: true });
    await vm.control.say(Ask.SET_PROTOCOL_FEATURES, u64(protocol));
    // A region that REM_MEM_REG can remove.
    if (protocol === EVERYTHING) {
      const [body, descriptors] = [singleRegion(region(0x20_0000, PAGE, 0x7100_0000_0000, 0)), memory()];
      await lend(descriptors, () => vm.control.tell(Ask.ADD_MEM_REG, body, descriptors));
    }
  };

  const closesWith = async (code: string) => {
    await until(() => vm.ends.length === 1, 'the end');
    assert.equal((vm.ends[0] as { code?: string } | null)?.code, code);
    assert.ok(vm.control.ended);
  };

  return { open, openWith, closesWith };
}
