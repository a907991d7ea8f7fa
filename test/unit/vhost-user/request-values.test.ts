/** Values in requests: what the back-end refuses, and what it answers to a part of the configuration space. */
import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import { native } from '../../../src/native.js';
import { Ask } from '../../support/front-end-messages.js';
import { settle } from '../../support/until.js';
import { aRegion, EVERYTHING, event, lend, memory, negotiatedVm, PAGE } from './support/negotiated-vm.js';
import type { Vm } from './support/vm.js';
import { config, memoryTable, PLAIN, region, singleRegion, state, u64, vringAddress } from './support/vmm.js';

describe('values in vhost-user requests', () => {
  let vm: Vm;
  const { open, closesWith } = negotiatedVm((made) => {
    vm = made;
  });

  describe('refuses', () => {
    const refused = async (request: number, body: Buffer, lent: () => number[] = () => []) => {
      const descriptors = lent();
      const acknowledgement = lend(descriptors, () => vm.control.tell(request, body, descriptors));
      assert.notEqual(await acknowledgement, 0n);
      assert.deepEqual(vm.ends, []);
    };
    const file = () => [openSync('/dev/null', 'r')];
    const short = () => [native.memoryFile('test', PAGE)];

    beforeEach(() => open());

    it('features that were not offered', async () => {
      await refused(Ask.SET_FEATURES, u64((1n << 34n) | 0x1_4000_0000n));
      await refused(Ask.SET_FEATURES, u64(1n << 63n));
      await refused(Ask.SET_PROTOCOL_FEATURES, u64(EVERYTHING | (1n << 21n)));
    });

    it('rings that are not there', async () => {
      for (const request of [Ask.SET_VRING_NUM, Ask.SET_VRING_BASE, Ask.SET_VRING_ENABLE])
        for (const index of [2, 0xffff_ffff]) await refused(request, state(index, 1));
      await refused(Ask.SET_VRING_ADDR, vringAddress(2, 0, 0, 0));
      for (const request of [Ask.SET_VRING_KICK, Ask.SET_VRING_CALL, Ask.SET_VRING_ERR])
        await refused(request, u64(2), event);
      assert.deepEqual(await vm.control.ask(Ask.GET_VRING_BASE, state(7, 0)), state(7, 0));
    });

    for (const size of [0, 3, 1000, 32769, 65536, 0x8000_0000])
      it(`a ring of ${size}`, () => refused(Ask.SET_VRING_NUM, state(0, size)));

    for (const size of [1, 2, 128, 1024, 32768])
      it(`not a ring of ${size}`, async () =>
        assert.equal(await vm.control.tell(Ask.SET_VRING_NUM, state(0, size)), 0n));

    it('a base beyond 16 bits', () => refused(Ask.SET_VRING_BASE, state(0, 65536)));

    it('descriptors that are not eventfds', async () => {
      for (const request of [Ask.SET_VRING_KICK, Ask.SET_VRING_CALL, Ask.SET_VRING_ERR])
        for (const lent of [file, memory]) await refused(request, u64(0), lent);
    });

    it('a kick without a descriptor, and takes a call and an error without one', async () => {
      await refused(Ask.SET_VRING_KICK, u64(0x100));
      assert.equal(await vm.control.tell(Ask.SET_VRING_CALL, u64(0x100)), 0n);
      assert.equal(await vm.control.tell(Ask.SET_VRING_ERR, u64(0x101)), 0n);
    });

    it('memory that is shorter than it is said to be (T13)', async () => {
      await refused(Ask.SET_MEM_TABLE, memoryTable(region(0, 2 * PAGE, 0, 0)), short);
      await refused(Ask.SET_MEM_TABLE, memoryTable(region(0, PAGE, 0, PAGE)), short);
      await refused(Ask.ADD_MEM_REG, singleRegion(region(0, 2 * PAGE, 0, 0)), short);
    });

    it('regions that overlap, wrap or are empty', async () => {
      const two = () => [...short(), ...short()];
      const table = (...regions: Buffer[]) => memoryTable(...regions);
      await refused(Ask.SET_MEM_TABLE, table(region(0, PAGE, 0, 0), region(PAGE - 1, PAGE, 0, 0)), two);
      await refused(Ask.SET_MEM_TABLE, table(region(0, 0, 0, 0)), short);
      const high = Buffer.concat([u64(2n ** 64n - 4096n), u64(PAGE), u64(0), u64(0)]);
      await refused(Ask.SET_MEM_TABLE, table(high), short);
      await refused(Ask.ADD_MEM_REG, singleRegion(region(0x20_0000, PAGE, 0, 0)), short);
    });
  });

  describe('SET_MEM_TABLE', () => {
    it('takes 32 regions', async () => {
      await open();
      const regions = Array.from({ length: 32 }, (_, index) =>
        region(index * 2 * PAGE, PAGE, index * PAGE, 0),
      );
      const descriptors = regions.flatMap(memory);
      const table = memoryTable(...regions);
      assert.equal(await lend(descriptors, () => vm.control.tell(Ask.SET_MEM_TABLE, table, descriptors)), 0n);
    });

    it('ends the connection when it says more regions than it holds', async () => {
      await open();
      const table = memoryTable(aRegion);
      table.writeUInt32LE(2, 0);
      const descriptors = [...memory(), ...memory()];
      await lend(descriptors, () => vm.control.send(Ask.SET_MEM_TABLE, PLAIN, table, descriptors));
      await closesWith('ERR_VHOST_SIZE');
    });

    it('takes an empty table', async () => {
      await open();
      assert.equal(await vm.control.tell(Ask.SET_MEM_TABLE, memoryTable()), 0n);
    });
  });

  describe('GET_CONFIG', () => {
    beforeEach(() => open());

    for (const [offset, size] of [
      [0, 40],
      [8, 32],
      [39, 1],
      [0, 256],
      [40, 1],
      [38, 4],
      [255, 256],
      [0xffff_fff0, 64],
    ] as const)
      it(`answers ${size} bytes at ${offset}, with zeros past the end`, async () => {
        const reply = await vm.control.ask(Ask.GET_CONFIG, config(offset, size, 1));
        assert.equal(reply.length, 12 + size);
        assert.deepEqual(
          [reply.readUInt32LE(0), reply.readUInt32LE(4), reply.readUInt32LE(8)],
          [offset, size, 1],
        );
        for (let at = 0; at < size; at++)
          assert.equal(reply[12 + at], offset + at < 40 ? offset + at + 1 : 0, `byte ${at}`);
      });

    it('takes a request without room for the answer', async () => {
      assert.equal((await vm.control.ask(Ask.GET_CONFIG, config(0, 40).subarray(0, 12))).length, 52);
    });

    it('ends the connection above 256 bytes', async () => {
      vm.control.send(Ask.GET_CONFIG, PLAIN, config(0, 257));
      await closesWith('ERR_VHOST_SIZE');
    });

    it('waits until the device knows its configuration, and the requests behind it wait too', async () => {
      let ready = () => {};
      const waits = new Promise<void>((resolve) => {
        ready = resolve;
      });
      Object.assign(vm.device, { refreshConfig: () => waits });
      vm.control.send(Ask.GET_CONFIG, PLAIN, config(0, 40));
      vm.control.send(Ask.GET_FEATURES, PLAIN, Buffer.alloc(0));
      await settle();
      assert.equal(vm.device.config[0], 1);
      vm.device.config[0] = 7;
      ready();
      const first = await vm.control.next();
      assert.deepEqual([first.request, first.body[12]], [Ask.GET_CONFIG, 7]);
      assert.equal((await vm.control.next()).request, Ask.GET_FEATURES);
    });

    it('is answered at once by a device that knows its configuration', async () => {
      Object.assign(vm.device, { refreshConfig: () => null });
      assert.equal((await vm.control.ask(Ask.GET_CONFIG, config(0, 40))).length, 52);
    });

    it('is not changed by SET_CONFIG', async () => {
      const write = config(0, 40);
      write.fill(0xff, 12);
      assert.equal(await vm.control.tell(Ask.SET_CONFIG, write), 0n);
      assert.equal((await vm.control.ask(Ask.GET_CONFIG, config(0, 40)))[12], 1);
    });
  });
});
