/**
 * The back-end channel while the device does not run. One message at this time causes a SIGSEGV in every release of
 * QEMU that has the channel. The device is a FAKE that makes all its requests whenever anything happens.
 */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { native } from '../../../src/native.js';
import { Ask } from '../../support/front-end-messages.js';
import { settle, until } from '../../support/until.js';
import { RecordingDevice } from './support/recording-device.js';
import * as say from './support/transcripts.js';
import { Vm } from './support/vm.js';
import { type Heard, openDescriptors, PLAIN, state, withoutLog } from './support/vmm.js';

const SLOT = 65536;
const UNMAP = 10;
const SPOKE = 'a message while the device does not run';

/** Makes requests at each call, and when the test says so. A camera that is unplugged does so at any time too. */
class EagerDevice extends RecordingDevice {
  readonly file = native.memoryFile('test-frames', SLOT);
  #asked = 0;

  ask(): void {
    if (!this.transport) return;
    const offset = SLOT * (this.#asked++ % 1024);
    this.transport.map(this.file, 0, offset, SLOT, () => {});
    this.transport.unmap(offset, SLOT, () => {});
    this.transport.addObject(Buffer.alloc(16, this.#asked));
    this.transport.removeObject(Buffer.alloc(16, this.#asked - 3));
  }

  override connected(...given: Parameters<RecordingDevice['connected']>): void {
    super.connected(...given);
    this.ask();
  }

  override queueStarted(...given: Parameters<RecordingDevice['queueStarted']>): void {
    super.queueStarted(...given);
    this.ask();
  }

  override queueKicked(index: number): void {
    super.queueKicked(index);
    this.ask();
  }

  override queueStopped(index: number): void {
    this.ask();
    super.queueStopped(index);
    this.ask();
  }

  override reset(): void {
    super.reset();
    this.ask();
  }
}

interface Life {
  readonly name: string;
  /** Whether the VMM supports SHMEM_MAP. */
  readonly maps: boolean;
  connect(vm: Vm): Promise<void>;
  /** `bases`: the VM is resumed. Absent: the driver starts anew. */
  start(vm: Vm, bases?: number[]): Promise<void>;
  pause?(vm: Vm): Promise<number[]>;
  reset(vm: Vm): Promise<unknown>;
}

const qemu = (slots: boolean): Life => {
  let first = true;
  return {
    name: `QEMU ${slots ? 'with' : 'without'} memory slots`,
    maps: true,
    connect: async (vm) => {
      first = true;
      await say.qemuRealize(vm, slots, say.OBJECTS);
    },
    start: async (vm, bases = [0, 0]) => {
      await say.qemuStart(vm, { slots, first, bases });
      first = false;
    },
    pause: say.qemuStop,
    reset: say.qemuStop,
  };
};

const lives: readonly Life[] = [
  qemu(false),
  qemu(true),
  {
    name: 'crosvm',
    maps: true,
    connect: say.crosvmConnect,
    start: (vm, bases = [0, 0]) => say.crosvmActivate(vm, { bases }),
    pause: say.crosvmDeactivate,
    reset: say.crosvmDeactivate,
  },
  {
    name: 'libkrun',
    maps: true,
    connect: say.libkrunConnect,
    start: say.libkrunActivate,
    reset: async (vm) => {
      for (const index of [0, 1]) await vm.control.say(Ask.SET_VRING_ENABLE, state(index, 0));
    },
  },
  {
    name: 'cloud-hypervisor',
    maps: false,
    connect: (vm) => say.cloudHypervisorConnect(vm),
    start: (vm, bases) => (bases ? say.enableAll(vm, 1) : say.cloudHypervisorActivate(vm)),
    pause: async (vm) => {
      await say.enableAll(vm, 0);
      return [0, 0];
    },
    reset: async (vm) => {
      await say.enableAll(vm, 0);
      return [await vm.vringBase(0), await vm.vringBase(1)];
    },
  },
];

for (const life of lives)
  describe(`the back-end channel of ${life.name}`, () => {
    withoutLog();
    let vm: Vm;
    let device: EagerDevice;
    let before: number;

    beforeEach(async () => {
      before = openDescriptors();
      device = new EagerDevice();
      vm = new Vm({ memSlots: life.name !== 'QEMU without memory slots', objects: true }, device);
      listen();
      await life.connect(vm);
    });

    afterEach(async () => {
      vm.close();
      closeSync(device.file);
      await settle(3);
      assert.equal(openDescriptors(), before, 'descriptors leaked');
    });

    /** Messages since the last call. Their descriptors are closed. */
    const heard = (): Heard[] => {
      const all: Heard[] = [];
      for (let next = vm.channel?.poll(); next; next = vm.channel?.poll()) all.push(next);
      for (const { descriptors } of all) for (const fd of descriptors) closeSync(fd);
      return all;
    };

    /** Rings that the VMM has enabled. */
    const enabled = new Set<number>();

    /** Before each message of the VMM the device makes its requests. No message may have come unless all rings run. */
    const listen = () => {
      enabled.clear();
      const { control } = vm;
      const raw = control.raw.bind(control);
      let handled = true;
      control.raw = (bytes, descriptors) => {
        if (handled) device.ask();
        const came = heard().length;
        assert.ok(enabled.size === 2 || came === 0, SPOKE);
        const { request, flags, index, value } = ringWords(bytes);
        // After a stop without an acknowledgement the VMM at once sends a request that has a reply.
        handled = request !== Ask.SET_VRING_ENABLE || flags !== PLAIN;
        if (request === Ask.SET_VRING_ENABLE && value === 1) enabled.add(index);
        if (request === Ask.SET_VRING_ENABLE && value === 0) enabled.delete(index);
        raw(bytes, descriptors);
      };
    };

    const silent = async () => {
      for (let turn = 0; turn < 10; turn++) {
        device.ask();
        await settle(3);
        assert.equal(heard().length, 0, SPOKE);
      }
    };

    const open = async () => {
      device.ask();
      await settle(3);
      assert.equal(heard().length > 0, life.maps);
    };

    it('is silent before the first start', silent);

    it('is silent after a reset, until the next driver starts', async () => {
      await life.start(vm);
      await open();
      await life.reset(vm);
      await silent();
      vm.newDriver(8);
      await life.start(vm);
      await open();
    });

    if (life.pause)
      it('is silent during a pause', async () => {
        await life.start(vm);
        await open();
        const bases = await life.pause!(vm);
        await silent();
        await life.start(vm, bases);
        await open();
      });

    it('is silent after the device failed', async () => {
      await life.start(vm);
      heard();
      device.fails = 'kicked';
      vm.kickCommands();
      await until(() => device.calls.includes('reset'));
      heard();
      await silent();
    });
  });

describe('a back-end channel that nobody reads', () => {
  withoutLog();

  it('has nothing to say after the stop that was not in the socket before', async () => {
    const vm = new Vm();
    const done: number[] = [];
    try {
      await say.qemuRealize(vm, false);
      await say.qemuStart(vm);
      for (let count = 0; count < 500; count++)
        vm.device.transport!.unmap(SLOT * count, SLOT, (errno) => done.push(errno));
      await settle();
      assert.ok(done.length > 0 && done.every((errno) => errno === 16), 'the socket was never full');
      await say.qemuStop(vm);
      let read = 0;
      for (let next = vm.channel!.poll(); next; next = vm.channel!.poll()) {
        assert.equal(next.request, UNMAP);
        read++;
      }
      assert.equal(read, 500 - done.length);
      await settle();
      assert.equal(vm.channel!.poll(), undefined, SPOKE);
    } finally {
      vm.close();
    }
  });
});

function ringWords(bytes: Uint8Array): { request: number; flags: number; index: number; value: number } {
  const raw = Buffer.concat([bytes, Buffer.alloc(20)]);
  return {
    request: raw.readUInt32LE(0),
    flags: raw.readUInt32LE(4),
    index: raw.readUInt32LE(12),
    value: raw.readUInt32LE(16),
  };
}
