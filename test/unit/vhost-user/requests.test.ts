import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { native } from '../../../src/native.js';
import { requests } from '../../../src/vhost-user/requests.js';
import { Vm } from './vm.js';
import {
  Ask,
  config,
  memoryTable,
  NEED_REPLY,
  openDescriptors,
  PLAIN,
  region,
  settle,
  singleRegion,
  state,
  u64,
  until,
  vringAddress,
  withoutLog,
} from './vmm.js';

const PAGE = 4096;
const EVERYTHING = 0x44_8629n;

interface Example {
  body: Buffer;
  /** New descriptors to send. */
  descriptors?: () => number[];
  /** Size of the reply's body in bytes; 0: an empty body. undefined: the request is acknowledged. */
  reply?: number;
  /** Number of the protocol feature that must be negotiated. */
  needs?: number;
  /** Whether one more descriptor is tolerated. */
  stray?: boolean;
}

const memory = () => [native.memoryFile('test', PAGE)];
const event = () => [native.eventFd()];
const socket = () => {
  const [ours, theirs] = native.socketPair();
  closeSync(ours);
  return [theirs];
};
const none = Buffer.alloc(0);
const aRegion = region(0x10_0000, PAGE, 0x7000_0000_0000, 0);

/** One valid message for each request that the back-end understands. */
const examples = new Map<number, Example>([
  [1, { body: none, reply: 8 }],
  [2, { body: u64(0x1_4000_0000n) }],
  [3, { body: none }],
  [4, { body: none }],
  [5, { body: memoryTable(aRegion), descriptors: memory }],
  [8, { body: state(1, 256) }],
  [9, { body: vringAddress(1, 0x1000, 0x2000, 0x3000) }],
  [10, { body: state(1, 5) }],
  [11, { body: state(1, 0), reply: 8 }],
  [12, { body: u64(1), descriptors: event }],
  [13, { body: u64(1), descriptors: event }],
  [14, { body: u64(1), descriptors: event }],
  [15, { body: none, reply: 8 }],
  [16, { body: u64(EVERYTHING) }],
  [17, { body: none, reply: 8, needs: 0 }],
  [18, { body: state(1, 1) }],
  [
    21,
    {
      body: none,
      descriptors: socket,
      needs: 5,
    },
  ],
  [24, { body: config(0, 40), reply: 52, needs: 9 }],
  [25, { body: config(0, 40), needs: 9 }],
  [34, { body: none }],
  [36, { body: none, reply: 8, needs: 15 }],
  [37, { body: singleRegion(region(0x20_0000, PAGE, 0x7100_0000_0000, 0)), descriptors: memory, needs: 15 }],
  [38, { body: singleRegion(region(0x20_0000, PAGE, 0x7100_0000_0000, 0)), needs: 15, stray: true }],
  [39, { body: u64(15) }],
  [40, { body: none, reply: 8 }],
  [41, { body: Buffer.alloc(16, 7), reply: 0, needs: 18 }],
  [44, { body: none, reply: 2056, needs: 22 }],
]);

describe('vhost-user requests', () => {
  withoutLog();
  let vm: Vm;
  let before: number;

  const open = async (protocol = EVERYTHING) => {
    before = openDescriptors();
    vm = new Vm({ memSlots: true, objects: true });
    await vm.control.say(Ask.SET_PROTOCOL_FEATURES, u64(protocol));
    // A region that REM_MEM_REG can remove.
    if (protocol === EVERYTHING) {
      const [body, descriptors] = [singleRegion(region(0x20_0000, PAGE, 0x7100_0000_0000, 0)), memory()];
      await lend(descriptors, () => vm.control.tell(Ask.ADD_MEM_REG, body, descriptors));
    }
  };

  const lend = async <T>(descriptors: number[], run: () => T | Promise<T>): Promise<T> => {
    try {
      return await run();
    } finally {
      for (const fd of descriptors) closeSync(fd);
    }
  };

  afterEach(() => {
    vm.close();
    assert.equal(openDescriptors(), before, 'descriptors leaked');
  });

  const closesWith = async (code: string) => {
    await until(() => vm.ends.length === 1, 'the end');
    assert.equal((vm.ends[0] as { code?: string } | null)?.code, code);
    assert.ok(vm.control.ended);
  };

  it('has an example for each row, and a row for each example', () => {
    before = openDescriptors();
    vm = new Vm();
    assert.deepEqual([...requests.keys()].sort(), [...examples.keys()].sort());
  });

  for (const [number, { name }] of requests) {
    const example = examples.get(number) as Example;
    const { body, reply, needs, stray } = example;
    const lent = example.descriptors ?? (() => []);
    const replies = reply !== undefined;

    describe(`${number} ${name}`, () => {
      it(
        replies
          ? `is answered with ${reply} bytes, also when it asks for an acknowledgement`
          : 'is acknowledged',
        async () => {
          await open();
          if (number === 37) await vm.control.tell(Ask.REM_MEM_REG, example.body);
          for (const flags of [NEED_REPLY, PLAIN]) {
            if (number === 37 && flags === PLAIN) await vm.control.tell(Ask.REM_MEM_REG, example.body);
            const descriptors = lent();
            await lend(descriptors, () => vm.control.send(number, flags, body, descriptors));
            if (!replies && flags === PLAIN) continue;
            const answer = await vm.control.reply(number);
            assert.equal(answer.length, reply ?? 8);
            if (!replies) assert.equal(answer.readBigUInt64LE(), 0n);
          }
          await vm.control.ask(Ask.GET_FEATURES);
          assert.equal(vm.control.poll(), undefined, 'something was answered twice');
          assert.deepEqual(vm.ends, []);
        },
      );

      if (body.length > 0)
        it('ends the connection when it is a byte short', async () => {
          await open();
          const descriptors = lent();
          await lend(descriptors, () => vm.control.send(number, PLAIN, body.subarray(0, -1), descriptors));
          await closesWith('ERR_VHOST_SIZE');
        });

      it('ends the connection when it is a byte long', async () => {
        await open();
        const descriptors = lent();
        const long = Buffer.concat([body, Buffer.alloc(1)]);
        await lend(descriptors, () => vm.control.send(number, NEED_REPLY, long, descriptors));
        await closesWith('ERR_VHOST_SIZE');
      });

      if (example.descriptors)
        it('ends the connection without a descriptor', async () => {
          await open();
          vm.control.send(number, PLAIN, body);
          await closesWith('ERR_VHOST_DESCRIPTORS');
        });

      it('ends the connection with a descriptor more', async () => {
        await open();
        const descriptors = [...lent(), ...event(), ...(stray ? event() : [])];
        await lend(descriptors, () => vm.control.send(number, PLAIN, body, descriptors));
        await closesWith('ERR_VHOST_DESCRIPTORS');
      });

      if (needs !== undefined)
        it(`is not understood without protocol feature ${needs}`, async () => {
          await open(EVERYTHING & ~(1n << BigInt(needs)));
          const descriptors = lent();
          await lend(descriptors, () => vm.control.send(number, PLAIN, body, descriptors));
          await vm.control.ask(Ask.GET_FEATURES);
          const again = lent();
          const acknowledgement = lend(again, () => vm.control.tell(number, body, again));
          assert.notEqual(await acknowledgement, 0n);
          assert.deepEqual(vm.ends, []);
        });
    });
  }

  it('lets REM_MEM_REG carry a descriptor', async () => {
    await open();
    const descriptors = event();
    const body = examples.get(38)?.body as Buffer;
    assert.equal(await lend(descriptors, () => vm.control.tell(Ask.REM_MEM_REG, body, descriptors)), 0n);
    assert.notEqual(await vm.control.tell(Ask.REM_MEM_REG, body), 0n, 'removed twice');
  });

  for (const number of [
    0, 6, 7, 19, 20, 22, 23, 26, 28, 29, 30, 31, 32, 33, 35, 42, 43, 45, 77, 1004, 0xffff_ffff,
  ])
    it(`does not understand request ${number}, and goes on`, async () => {
      await open();
      const descriptors = [...event(), ...memory()];
      await lend(descriptors, async () => {
        vm.control.send(number, PLAIN, Buffer.alloc(20), descriptors);
        assert.notEqual(await vm.control.tell(number, Buffer.alloc(4096), descriptors), 0n);
      });
      await vm.control.ask(Ask.GET_FEATURES);
    });

  it('acknowledges nothing without REPLY_ACK', async () => {
    await open(EVERYTHING & ~8n);
    vm.control.send(Ask.SET_OWNER, NEED_REPLY);
    vm.control.send(77, NEED_REPLY);
    await vm.control.ask(Ask.GET_FEATURES);
    await settle(5);
    assert.equal(vm.control.poll(), undefined);
  });

  it('acknowledges the SET_PROTOCOL_FEATURES that negotiates it', async () => {
    await open(0n);
    assert.equal(await vm.control.tell(Ask.SET_PROTOCOL_FEATURES, u64(EVERYTHING)), 0n);
  });

  describe('offers', () => {
    const offers = async (options: object, size?: number) => {
      before = openDescriptors();
      const { RecordingDevice } = await import('./recording-device.js');
      vm = new Vm(options, new RecordingDevice(size));
      const features = (await vm.control.ask(Ask.GET_FEATURES)).readBigUInt64LE();
      return [features, (await vm.control.ask(Ask.GET_PROTOCOL_FEATURES)).readBigUInt64LE()];
    };
    // VERSION_1 32, PROTOCOL_FEATURES 30, EVENT_IDX 29, INDIRECT_DESC 28.
    const virtio = 0x1_7000_0000n;

    it('MQ, REPLY_ACK, BACKEND_REQ, CONFIG, BACKEND_SEND_FD, SHMEM', async () =>
      assert.deepEqual(await offers({}), [virtio, 0x40_0629n]));
    it('no SHMEM without a region', async () => assert.deepEqual(await offers({}, 0), [virtio, 0x629n]));
    it('CONFIGURE_MEM_SLOTS when asked to', async () =>
      assert.deepEqual(await offers({ memSlots: true }), [virtio, 0x40_8629n]));
    it('SHARED_OBJECT when asked to', async () =>
      assert.deepEqual(await offers({ objects: true }), [virtio, 0x44_0629n]));
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
      vm.control.send(Ask.GET_FEATURES, PLAIN, none);
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
