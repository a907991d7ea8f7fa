/** Every request of the protocol, one after the other: what it must carry, and how it is answered. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { native } from '../../../src/native.js';
import { requests } from '../../../src/vhost-user/requests.js';
import { Ask } from '../../support/front-end-messages.js';
import { settle } from '../../support/until.js';
import { aRegion, EVERYTHING, event, lend, memory, negotiatedVm, PAGE } from './support/negotiated-vm.js';
import { RecordingDevice } from './support/recording-device.js';
import type { Vm } from './support/vm.js';
import {
  config,
  memoryTable,
  NEED_REPLY,
  PLAIN,
  region,
  singleRegion,
  state,
  u64,
  vringAddress,
} from './support/vmm.js';

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

const socket = () => {
  const [ours, theirs] = native.socketPair();
  closeSync(ours);
  return [theirs];
};
const none = Buffer.alloc(0);

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
  let vm: Vm;
  const { open, openWith, closesWith } = negotiatedVm((made) => {
    vm = made;
  });

  it('has an example for each row, and a row for each example', () => {
    openWith();
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
      openWith(options, new RecordingDevice(size));
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
});
