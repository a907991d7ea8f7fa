/** The bridge's requests to the VMM. The device is a FAKE; the VMM answers when the test tells it to. */
import assert from 'node:assert/strict';
import { closeSync, fstatSync } from 'node:fs';
import { native } from '../../../src/native.js';
import { MAX_UNANSWERED } from '../../../src/vhost-user/backend-channel.js';
import * as say from './support/transcripts.js';
import { USER, Vm, WINDOW } from './support/vm.js';
import {
  Ask,
  config,
  type Heard,
  memoryTable,
  NEED_REPLY,
  openDescriptors,
  PLAIN,
  REPLY,
  region,
  settle,
  singleRegion,
  state,
  u64,
  until,
  withoutLog,
} from './support/vmm.js';

/** "Back-end message types": CONFIG_CHANGE, SHMEM_MAP, SHMEM_UNMAP. */
const CONFIG_CHANGE = 2;
const MAP = 9;
const UNMAP = 10;

const SLOT = 65536;

describe('SHM region', () => {
  withoutLog();
  let vm: Vm;
  let before: number;
  let file: number;
  /** Results of map() and unmap(), in the order of their arrival. */
  let done: [string, number][];

  const open = (...setup: ConstructorParameters<typeof Vm>) => {
    before = openDescriptors();
    vm = new Vm(...setup);
    file = native.memoryFile('test-frames', 4 * SLOT);
    done = [];
  };

  afterEach(() => {
    vm.close();
    closeSync(file);
    assert.equal(openDescriptors(), before, 'descriptors leaked');
  });

  const map = (name: string, offset = 0, fileOffset = 0, length = SLOT) =>
    vm.device.transport!.map(file, fileOffset, offset, length, (errno) => done.push([name, errno]));
  const unmap = (name: string, offset = 0, length = SLOT) =>
    vm.device.transport!.unmap(offset, length, (errno) => done.push([name, errno]));

  const heard = async (request: number): Promise<Heard> => {
    const message = await vm.channel!.next();
    assert.equal(message.request, request);
    return message;
  };

  /** Fields of a mapping message: shmid, fd offset, offset, length, flags. */
  const place = ({ body }: Heard) => {
    assert.equal(body.length, 40);
    assert.ok(body.subarray(1, 8).every((byte) => byte === 0));
    return [body[0], ...[8, 16, 24, 32].map((at) => Number(body.readBigUInt64LE(at)))];
  };

  const take = async (request: number): Promise<(number | undefined)[]> => {
    const message = await heard(request);
    const isOurs = message.descriptors.map((fd) => fstatSync(fd).ino === fstatSync(file).ino);
    for (const fd of message.descriptors) closeSync(fd);
    assert.deepEqual(isOurs, request === MAP ? [true] : []);
    return place(message);
  };

  const answer = (request: number, value: number | bigint) => vm.channel!.send(request, REPLY, u64(value));

  describe('with a VMM that answers', () => {
    beforeEach(async () => {
      open();
      await say.qemuRealize(vm, false);
      await say.qemuStart(vm);
    });

    it('maps with one descriptor and asks for a reply', async () => {
      map('a', 2 * SLOT, SLOT);
      assert.deepEqual(done, []);
      const message = await heard(MAP);
      assert.equal(message.flags, NEED_REPLY);
      assert.deepEqual(place(message), [0, SLOT, 2 * SLOT, SLOT, 1]);
      assert.equal(message.descriptors.length, 1);
      for (const fd of message.descriptors) closeSync(fd);
      await settle();
      assert.deepEqual(done, []);
      answer(MAP, 0);
      await until(() => done.length === 1);
      assert.deepEqual(done, [['a', 0]]);
    });

    it('unmaps with the same place, and no descriptor', async () => {
      unmap('a', 2 * SLOT);
      assert.deepEqual(await take(UNMAP), [0, 0, 2 * SLOT, SLOT, 0]);
      answer(UNMAP, 0);
      await until(() => done.length === 1);
      assert.deepEqual(done, [['a', 0]]);
    });

    it('matches replies in order; anything but 0 is EIO', async () => {
      map('a');
      map('b', SLOT);
      unmap('c', SLOT);
      answer(MAP, 0);
      answer(MAP, 1);
      answer(UNMAP, 0xffff_ffff_ffff_ffeen);
      await until(() => done.length === 3);
      assert.deepEqual(done, [
        ['a', 0],
        ['b', 5],
        ['c', 5],
      ]);
      for (const request of [MAP, MAP, UNMAP]) await take(request);
    });

    it('goes on from within a result', async () => {
      vm.device.transport!.map(file, 0, 0, SLOT, (errno) => {
        done.push(['a', errno]);
        unmap('b');
      });
      await take(MAP);
      answer(MAP, 0);
      await take(UNMAP);
      answer(UNMAP, 0);
      await until(() => done.length === 2);
    });

    it('serves the control socket while an answer is outstanding (T6)', async () => {
      map('first');
      map('second', SLOT);
      await take(MAP);
      await take(MAP);
      const since = Date.now();
      assert.equal((await vm.control.ask(Ask.GET_CONFIG, config(0, 40))).length, 52);
      // QEMU announces its own mapping, in a table of all regions.
      const table = memoryTable(vm.regionBody(), region(WINDOW, SLOT, USER + 0x1000_0000, 0));
      assert.equal(await vm.control.tell(Ask.SET_MEM_TABLE, table, [vm.ram.fd, file]), 0n);
      assert.equal(await vm.command('ping'), 'echo:ping');
      assert.equal(await vm.vringBase(0), 1);
      assert.equal(await vm.vringBase(1), 0);
      assert.ok(Date.now() - since < 1000);
      assert.deepEqual(done, []);
      answer(MAP, 0);
      answer(MAP, 0);
      await until(() => done.length === 2);
      assert.deepEqual(done, [
        ['first', 0],
        ['second', 0],
      ]);
    });

    it('takes a descriptor of its own back without mapping it', async () => {
      map('a');
      await take(MAP);
      const echo = region(WINDOW, SLOT, USER + 0x1000_0000, 0);
      const table = memoryTable(vm.regionBody(), echo);
      assert.equal(await vm.control.tell(Ask.SET_MEM_TABLE, table, [vm.ram.fd, file]), 0n);
      assert.equal(vm.backend.memory.regions.length, 2);
      assert.throws(() => vm.device.memory?.read(WINDOW, 1), /not in guest memory/);
      assert.equal(vm.device.memory?.ring(USER + 0x1000_0000, 16), null);
      answer(MAP, 0);

      // After UNMAP this file is treated as any other file.
      unmap('b');
      await take(UNMAP);
      answer(UNMAP, 0);
      await until(() => done.length === 2);
      assert.equal(await vm.control.tell(Ask.SET_MEM_TABLE, table, [vm.ram.fd, file]), 0n);
      assert.equal(vm.device.memory?.read(WINDOW, 1).length, 1);
    });

    it('forgets its descriptors when the guest resets the device', async () => {
      map('a');
      await take(MAP);
      answer(MAP, 0);
      await until(() => done.length === 1);
      await vm.control.say(Ask.SET_STATUS, u64(0));
      const table = memoryTable(vm.regionBody(), region(WINDOW, SLOT, USER + 0x1000_0000, 0));
      assert.equal(await vm.control.tell(Ask.SET_MEM_TABLE, table, [vm.ram.fd, file]), 0n);
      assert.equal(vm.device.memory?.read(WINDOW, 1).length, 1);
    });

    it('never maps what is not an ordinary file, nor refuses it', async () => {
      // The VMM announces mappings of other devices of the VM too. Here a socket stands for their DMABUF.
      const [ours, theirs] = native.socketPair();
      const table = memoryTable(vm.regionBody(), region(WINDOW, SLOT, USER + 0x1000_0000, 0));
      assert.equal(await vm.control.tell(Ask.SET_MEM_TABLE, table, [vm.ram.fd, ours]), 0n);
      closeSync(ours);
      closeSync(theirs);
      assert.throws(() => vm.device.memory?.read(WINDOW, 1), /not in guest memory/);
    });

    it('does nothing while the device is paused: EBUSY', async () => {
      const bases = await say.qemuStop(vm);
      map('a');
      unmap('b');
      assert.deepEqual(done, []);
      await until(() => done.length === 2);
      await say.qemuStart(vm, { first: false, bases });
      map('c');
      await take(MAP);
      assert.deepEqual(done, [
        ['a', 16],
        ['b', 16],
      ]);
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

    it('asks for no more than it can be told', async () => {
      for (let count = 0; count < MAX_UNANSWERED; count++) {
        unmap(`${count}`);
        await take(UNMAP);
      }
      for (let count = 0; count < 2; count++) unmap('one too many');
      await until(() => done.length === 2);
      assert.deepEqual(
        done.map(([, errno]) => errno),
        [16, 16],
      );
      for (let count = 0; count < MAX_UNANSWERED; count++) {
        answer(UNMAP, 0);
        if (count % 64 === 0) await settle(2);
      }
      await until(() => done.length === MAX_UNANSWERED + 2);
    });

    it('maps no more at once than QEMU survives', async () => {
      const granted = async (name: string, offset: number, verdict = 0) => {
        const before = done.length;
        map(name, offset);
        await take(MAP);
        answer(MAP, verdict);
        await until(() => done.length > before);
      };
      await granted('refused by the VMM: it does not count', 300 * SLOT, 1);
      for (let index = 0; index < 256; index++) await granted(`${index}`, index * SLOT);
      map('one too many', 256 * SLOT);
      await until(() => done.length === 258);
      assert.deepEqual(done.at(-1), ['one too many', 12]);
      unmap('one less', 7 * SLOT);
      await take(UNMAP);
      answer(UNMAP, 0);
      await until(() => done.length === 259);
      await granted('room again', 256 * SLOT);
      assert.deepEqual(done.at(-1), ['room again', 0]);
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

  it('adds and removes what it has mapped with memory slots', async () => {
    open({ memSlots: true });
    await say.qemuRealize(vm, true);
    await say.qemuStart(vm, { slots: true });
    map('a');
    await take(MAP);
    answer(MAP, 0);
    const echo = singleRegion(region(WINDOW, SLOT, USER + 0x1000_0000, 0));
    assert.equal(await vm.control.tell(Ask.ADD_MEM_REG, echo, [file]), 0n);
    assert.throws(() => vm.device.memory?.read(WINDOW, 1), /not in guest memory/);
    unmap('b');
    await take(UNMAP);
    answer(UNMAP, 0);
    assert.equal(await vm.control.tell(Ask.REM_MEM_REG, echo), 0n);
    assert.equal(vm.backend.memory.regions.length, 1);
  });

  it('keeps its descriptors over a reset with crosvm', async () => {
    open();
    await say.crosvmConnect(vm);
    await say.crosvmActivate(vm);
    map('a');
    await take(MAP);
    await vm.control.say(Ask.SET_STATUS, u64(0));
    const table = memoryTable(vm.regionBody(), region(WINDOW, SLOT, USER + 0x1000_0000, 0));
    await vm.control.say(Ask.SET_MEM_TABLE, table, [vm.ram.fd, file]);
    assert.throws(() => vm.device.memory?.read(WINDOW, 1), /not in guest memory/);
  });

  it('says that nothing can be mapped without SHMEM', async () => {
    open({ memSlots: true });
    await say.cloudHypervisorConnect(vm);
    await say.cloudHypervisorActivate(vm);
    assert.equal(vm.device.transport?.size, 0);
    map('a');
    await until(() => done.length === 1);
    assert.deepEqual(done, [['a', 16]]);
    assert.equal(vm.channel!.poll(), undefined);
  });

  it('takes another VMM from an option', async () => {
    open({ frontend: 'crosvm' });
    await say.qemuRealize(vm, false);
    await say.qemuStart(vm);
    assert.equal(vm.device.transport?.survivesReset, true);
    assert.equal(vm.device.transport?.prefers, 'direct');
  });

  describe('with a VMM that never answers (libkrun)', () => {
    beforeEach(async () => {
      open();
      await say.libkrunConnect(vm);
      await say.libkrunActivate(vm);
    });

    it('is done when the message behind it has been read', async () => {
      map('a');
      await new Promise((resolve) => setTimeout(resolve, 30));
      assert.deepEqual(done, [], 'nothing has been read');
      const message = await heard(MAP);
      assert.equal(message.flags, PLAIN);
      for (const fd of message.descriptors) closeSync(fd);
      const behind = await heard(CONFIG_CHANGE);
      assert.deepEqual([behind.flags, behind.body.length], [PLAIN, 0]);
      await until(() => done.length === 1);
      assert.deepEqual(done, [['a', 0]]);
    });

    it('gives up after a second', async () => {
      const since = Date.now();
      map('a');
      await until(() => done.length === 1);
      assert.deepEqual(done, [['a', 110]]);
      assert.ok(Date.now() - since >= 990);
      await take(MAP);
      await heard(CONFIG_CHANGE);
      // The VMM has read everything, so the next request is done again.
      map('b', SLOT);
      await take(MAP);
      await heard(CONFIG_CHANGE);
      await until(() => done.length === 2);
      assert.deepEqual(done[1], ['b', 0]);
    });

    it('serves the control socket meanwhile', async () => {
      map('a');
      assert.equal((await vm.control.ask(Ask.GET_CONFIG, config(0, 40))).length, 52);
      assert.equal(await vm.command('ping'), 'echo:ping');
      assert.deepEqual(done, []);
    });

    it('maps zeros where something is unmapped', async () => {
      unmap('a', SLOT, 2 * SLOT);
      const message = await heard(MAP);
      assert.deepEqual(place(message), [0, 0, SLOT, 2 * SLOT, 1]);
      const [fd] = message.descriptors as [number];
      assert.equal(fstatSync(fd).size, 2 * SLOT);
      const zeros = new native.Region(fd, 0, 2 * SLOT);
      assert.ok(Buffer.from(zeros.windows[0]!).every((byte) => byte === 0));
      zeros.close();
      closeSync(fd);
      await heard(CONFIG_CHANGE);
      await until(() => done.length === 1);
      assert.deepEqual(done, [['a', 0]]);
    });

    it('takes no reply at all', async () => {
      map('a');
      answer(MAP, 0);
      // This comes before the test reads anything, because reading the request would complete it.
      await until(() => done.length === 1);
      assert.deepEqual(done, [['a', 104]]);
      await until(() => vm.channel!.ended);
    });
  });
});
