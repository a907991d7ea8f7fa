/** A VM for each test of a suite. After the test, no descriptor may be left open. */
import assert from 'node:assert/strict';
import { settle } from '../../../support/until.js';
import { Vm } from './vm.js';
import { openDescriptors, withoutLog } from './vmm.js';

/**
 * Adds the hooks of a suite. Returns a function that makes the VM of a test and gives it to `made`. The VM is closed
 * after the test; what the test has opened beside it must be closed by then.
 */
export function checkedVm(made: (vm: Vm) => void): (...setup: ConstructorParameters<typeof Vm>) => void {
  let vm: Vm;
  let before: number;
  withoutLog();
  afterEach(async () => {
    vm.close();
    await settle(3);
    assert.equal(openDescriptors(), before, 'descriptors leaked');
  });
  return (...setup) => {
    before = openDescriptors();
    vm = new Vm(...setup);
    made(vm);
  };
}

/** Commands and events pass, with interrupts. */
export async function works(vm: Vm): Promise<void> {
  assert.equal(await vm.command('ping'), 'echo:ping');
  const events = vm.eventq.usedIndex;
  vm.interrupts(1);
  vm.eventq.awaitUsed();
  assert.equal(vm.device.event('an event'), true);
  assert.equal(vm.eventq.usedIndex, (events + 1) % 65536);
  assert.equal(vm.eventq.usedElement(events).length, 8);
  assert.equal(vm.interrupts(1), 1);
}
