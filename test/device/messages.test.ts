/** vhost-user messages that no VMM sends: T8 and T9 of the interop vectors, and every request with every wrong size. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { native } from '../../src/native.js';
import { Ask } from '../support/front-end-messages.js';
import { filled, join, u32, u64, zeros } from './support/bytes.js';
import { onVivid, rig } from './support/rig.js';
import { Nr } from './support/v4l2.js';
import { FEATURES, QEMU, Vmm } from './support/vmm.js';
import { message, NEED_REPLY, Wire } from './support/wire.js';

/** Request number, bytes of the body, number of descriptors. Bodies of variable length have tests of their own. */
const requests: readonly (readonly [name: string, nr: number, size: number, descriptors: number])[] = [
  ['GET_FEATURES', 1, 0, 0],
  ['SET_FEATURES', 2, 8, 0],
  ['SET_OWNER', 3, 0, 0],
  ['RESET_OWNER', 4, 0, 0],
  ['SET_VRING_NUM', 8, 8, 0],
  ['SET_VRING_ADDR', 9, 40, 0],
  ['SET_VRING_BASE', 10, 8, 0],
  ['GET_VRING_BASE', 11, 8, 0],
  ['SET_VRING_KICK', 12, 8, 1],
  ['SET_VRING_CALL', 13, 8, 1],
  ['SET_VRING_ERR', 14, 8, 1],
  ['GET_PROTOCOL_FEATURES', 15, 0, 0],
  ['SET_PROTOCOL_FEATURES', 16, 8, 0],
  ['GET_QUEUE_NUM', 17, 0, 0],
  ['SET_VRING_ENABLE', 18, 8, 0],
  ['SET_BACKEND_REQ_FD', 21, 0, 1],
  ['RESET_DEVICE', 34, 0, 0],
  ['GET_MAX_MEM_SLOTS', 36, 0, 0],
  ['ADD_MEM_REG', 37, 40, 1],
  ['REM_MEM_REG', 38, 40, 0],
  ['SET_STATUS', 39, 8, 0],
  ['GET_STATUS', 40, 0, 0],
  ['GET_SHMEM_CONFIG', 44, 0, 0],
];

onVivid('vhost-user messages', () => {
  /** A new connection with every protocol feature. */
  const connect = (): Wire => {
    const wire = rig.own(new Wire(native.connect(rig.socket())));
    wire.send(message(Ask.SET_PROTOCOL_FEATURES, u64(QEMU)));
    return wire;
  };
  /** Sends the bytes on a new connection. The daemon must close it. */
  const isFatal = async (bytes: Uint8Array, descriptors: readonly number[], what: string) => {
    const wire = connect();
    wire.send(bytes, descriptors);
    await wire.ended().catch(() => assert.fail(`${what}: the connection goes on`));
    wire.close();
  };
  const isServed = async (wire: Wire) => {
    wire.send(message(Ask.GET_QUEUE_NUM, zeros(0)));
    const { request, flags, body } = await wire.next();
    assert.deepEqual([request, flags, body], [Ask.GET_QUEUE_NUM, 5, u64(2)]);
  };

  for (const [name, nr, size, descriptors] of requests) {
    it(`${name}: a body of any other size than ${size} ends the connection`, async () => {
      const file = native.memoryFile('message', 4096);
      rig.own({ close: () => closeSync(file) });
      for (const wrong of new Set([0, 1, 4, size - 1, size + 1, size + 8, 4096]))
        if (wrong >= 0 && wrong !== size)
          await isFatal(message(nr, zeros(wrong)), Array(descriptors).fill(file), `${wrong} bytes`);
    });

    it(`${name}: any other number of descriptors than ${descriptors} ends the connection`, async () => {
      const fd = native.eventFd();
      rig.own({ close: () => closeSync(fd) });
      const most = nr === Ask.REM_MEM_REG ? 1 : descriptors;
      for (const wrong of [0, 1, 2, 8, 32])
        if (wrong < descriptors || wrong > most)
          await isFatal(message(nr, zeros(size)), Array(wrong).fill(fd), `${wrong} descriptors`);
    });
  }

  it('requests whose body says its own size, and lies', async () => {
    const file = native.memoryFile('message', 4096);
    rig.own({ close: () => closeSync(file) });
    const region = u64(0x4000_0000, 4096, 0x7000_0000, 0);
    const bodies: [number, Buffer, number][] = [
      [Ask.SET_MEM_TABLE, zeros(0), 0],
      [Ask.SET_MEM_TABLE, zeros(7), 0],
      [Ask.SET_MEM_TABLE, join(u32(2, 0), region), 1],
      [Ask.SET_MEM_TABLE, join(u32(2, 0), region), 2],
      [Ask.SET_MEM_TABLE, join(u32(1, 0), region), 0],
      [Ask.SET_MEM_TABLE, join(u32(1, 0), region), 2],
      [Ask.SET_MEM_TABLE, join(u32(0, 0), region), 0],
      [Ask.SET_MEM_TABLE, u32(0xffff_ffff, 0), 0],
      [Ask.SET_MEM_TABLE, join(u32(33, 0), ...Array(33).fill(region)), 32],
      [Ask.SET_MEM_TABLE, join(u32(0x0800_0001, 0), region), 1],
      [Ask.GET_CONFIG, zeros(11), 0],
      [Ask.GET_CONFIG, join(u32(0, 40, 0), zeros(39)), 0],
      [Ask.GET_CONFIG, join(u32(0, 40, 0), zeros(41)), 0],
      [Ask.GET_CONFIG, join(u32(0, 257, 0), zeros(257)), 0],
      [Ask.GET_CONFIG, u32(0, 0xffff_ffff, 0), 0],
      [Ask.SET_CONFIG, u32(0, 40, 0), 0],
      [Ask.SET_CONFIG, join(u32(0, 0xffff_ffff, 0), zeros(40)), 0],
    ];
    for (const [nr, body, descriptors] of bodies)
      await isFatal(
        message(nr, body),
        Array(descriptors).fill(file),
        `request ${nr} of ${body.length} bytes`,
      );
  });

  it('GET_CONFIG of any place and size is answered whole, with zeros where nothing is', async () => {
    const vmm = rig.own(new Vmm(rig.socket()));
    await vmm.negotiate();
    const config = await vmm.config();
    assert.notEqual(config.readUInt32LE(0), 0);
    assert.equal(config[39], 0);
    for (const [offset, size] of [
      [0, 0],
      [0, 1],
      [39, 1],
      [40, 8],
      [0, 256],
      [38, 200],
      [0xffff_ffff, 256],
      [0xffff_ff00, 1],
    ] as const)
      for (const room of [0, size]) {
        const body = await vmm.ask(Ask.GET_CONFIG, join(u32(offset, size, 0), zeros(room)));
        const expected = join(config, zeros(600)).subarray(
          Math.min(offset, 100),
          Math.min(offset, 100) + size,
        );
        assert.deepEqual(body, join(u32(offset, size, 0), expected), `${size} bytes at ${offset}`);
      }
    assert.equal(await vmm.acknowledged(Ask.SET_CONFIG, join(u32(0, 40, 0), filled(40, 0xff))), 0n);
    assert.deepEqual(await vmm.config(), config, 'nothing of it can be changed');
  });

  it('headers of another version, of replies, with reserved flags or too much to come end the connection', async () => {
    for (const flags of [0, 2, 3, 5, 0x11, 0x21, 0x8000_0001, 0xffff_ffff])
      await isFatal(message(Ask.GET_FEATURES, zeros(0), flags), [], `flags ${flags.toString(16)}`);
    for (const size of [4097, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff])
      await isFatal(message(Ask.SET_MEM_TABLE, zeros(8), 1, size), [], `${size} bytes to come`);
  });

  it('garbage is ended or ignored, and leaves nothing behind', async () => {
    let state = 0x1234_5678;
    const random = () => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return state;
    };
    const fd = native.eventFd();
    rig.own({ close: () => closeSync(fd) });
    for (let round = 0; round < 40; round++) {
      const wire = connect();
      const body = Buffer.from(Array.from({ length: random() % 200 }, () => random() >>> 16));
      // Most messages have a header that is nearly valid, because the daemon refuses the others early.
      const header =
        round % 4 ? [random() % 50, 1 | (random() & 8), body.length] : [random(), random(), random()];
      wire.send(join(u32(...header), body), round % 3 ? [] : [fd]);
      // Either the daemon answers an unknown request after the message, or it closes the connection.
      wire.send(message(1000, zeros(0), NEED_REPLY));
      const end = () => wire.closed || wire.received.some(({ request }) => request === 1000);
      await rig.until(() => end() || waitsForMore(header[2]!, body.length), `garbage ${round}`);
      wire.close();
      await rig.released();
    }
  });

  it('unknown requests are refused if an answer is wanted, and else not heard', async () => {
    const wire = connect();
    const fd = native.eventFd();
    rig.own({ close: () => closeSync(fd) });
    for (const request of [
      0, 6, 7, 19, 20, 22, 23, 26, 30, 31, 32, 35, 41, 42, 43, 45, 46, 1004, 0xffff_ffff,
    ])
      for (const [body, descriptors] of [
        [zeros(0), []],
        [filled(100, 0xff), [fd]],
        [filled(4096, 0xff), Array(32).fill(fd)],
      ] as const) {
        wire.send(message(request, body, NEED_REPLY), descriptors);
        const answer = await wire.next();
        assert.deepEqual([answer.request, answer.flags, answer.body.length], [request, 5, 8]);
        assert.notEqual(answer.body.readBigUInt64LE(0), 0n);
        wire.send(message(request, body), descriptors);
        await isServed(wire);
      }
  });

  it('a thousand kinds of nonsense are a few lines in the log', async () => {
    const vmm = rig.own(new Vmm(rig.socket()));
    await vmm.negotiate();
    const before = rig.daemon.log.length;
    for (let round = 0; round < 20; round++) {
      for (let n = 0; n < 50; n++) vmm.tell(1000 + 50 * round + n, zeros(8));
      await vmm.openChannel();
      vmm.window!.send(filled(64, 0xff));
      await rig.until(() => vmm.window!.closed, 'the channel to end');
    }
    assert.ok(rig.daemon.log.length - before <= 6, `${rig.daemon.log.length - before} lines`);
  });

  it('requests of a feature that was not negotiated are unknown ones', async () => {
    const wire = rig.own(new Wire(native.connect(rig.socket())));
    const REPLY_ACK = 8n;
    wire.send(message(Ask.SET_PROTOCOL_FEATURES, u64(REPLY_ACK)));
    for (const request of [17, 21, 24, 25, 36, 37, 38, 44]) {
      wire.send(message(request, zeros(0), NEED_REPLY));
      const { body } = await wire.next();
      assert.deepEqual([body.length, body.equals(u64(0))], [8, false], `request ${request}`);
    }
    wire.send(message(Ask.GET_FEATURES, zeros(0)));
    assert.equal((await wire.next()).body.readBigUInt64LE(0), (1n << 32n) | (7n << 28n));
  });

  it('features that were not offered are refused, and those from before stay', async () => {
    const vmm = rig.own(new Vmm(rig.socket()));
    await vmm.negotiate();
    for (const bit of [0, 24, 26, 33, 34, 35, 38, 40, 63])
      assert.notEqual(
        await vmm.acknowledged(Ask.SET_FEATURES, u64(FEATURES | (1n << BigInt(bit)))),
        0n,
        `${bit}`,
      );
    for (const bit of [1, 8, 12, 14, 17, 18, 20, 21, 23, 63])
      assert.notEqual(await vmm.acknowledged(Ask.SET_PROTOCOL_FEATURES, u64(QEMU | (1n << BigInt(bit)))), 0n);
    assert.equal(await vmm.acknowledged(Ask.SET_FEATURES, u64(FEATURES)), 0n);
  });

  it('a conversation in bytes, with the descriptors on the first one of each message', async () => {
    const guest = await rig.guest({ dribble: true });
    const session = await guest.open();
    assert.equal((await guest.ioctl(session, Nr.G_FMT, u32(1, ...Array(51).fill(0)))).status, 0);
    await guest.vmm.config();
  });

  it('many messages in one write are answered in order, beyond what fits a turn', async () => {
    const wire = connect();
    const kinds = [Ask.GET_FEATURES, Ask.GET_QUEUE_NUM, Ask.GET_PROTOCOL_FEATURES, Ask.GET_STATUS];
    const sent = Array.from({ length: 200 }, (_, n) => kinds[n % 4]!);
    wire.send(join(...sent.map((request) => message(request, zeros(0)))));
    for (const request of sent) assert.equal((await wire.next()).request, request);
  });

  it('descriptors in the middle of a message, or more than 32 of them, end the connection', async () => {
    const fd = native.eventFd();
    rig.own({ close: () => closeSync(fd) });
    const [head, body] = [message(Ask.SET_VRING_KICK, zeros(0), 1, 8), u64(0)];
    const late = connect();
    late.send(head);
    late.send(body, [fd]);
    await late.ended();
    late.close();
    const many = connect();
    many.send(head.subarray(0, 1), Array(32).fill(fd));
    many.send(head.subarray(1, 2), [fd]);
    await many.ended();
  });

  it('a VMM that does not read is hung up on', async () => {
    const vmm = rig.own(new Vmm(rig.socket()));
    await vmm.negotiate();
    vmm.wire.deafen();
    const question = message(Ask.GET_CONFIG, join(u32(0, 256, 0), zeros(256)));
    const before = rig.daemon.memory('VmRSS');
    let refused = 0;
    for (let sent = 0; sent < 20_000 && refused < 200; sent++) {
      if (vmm.wire.send(question) === question.length) refused = 0;
      else await rig.pause(++refused > 100 ? 5 : 1);
      if (refused === 200) break;
    }
    vmm.wire.listen();
    await vmm.wire.ended();
    assert.ok(rig.daemon.memory('VmRSS') - before < 64 * 1024, 'what it does not read is not kept for ever');
  });
});

/** Whether a header announces more bytes than the two messages of a test have. */
function waitsForMore(size: number, sent: number): boolean {
  return size > sent && size <= 4096;
}
