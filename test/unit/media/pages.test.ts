/**
 * SHARED_PAGES as bytes of a chain: SG lists are in one part only, and pointers come back unchanged. The node is a
 * fake.
 */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import type { NodeCall } from '../../../src/native.js';
import { MemoryFile } from '../../../src/virtio/memory-file.js';
import { BUFFERS, GUEST } from '../virtio/bench.js';
import { DeviceBench, turns, u32 } from './bench.js';
import { FakeTransport } from './fake-transport.js';

const [REQBUFS, QUERYBUF, QBUF, STREAMON, CREATE_BUFS, PREPARE_BUF] = [8, 9, 15, 18, 92, 93];
const [MMAP, USERPTR] = [1, 2];
const [CAPTURE, CAPTURE_MPLANE] = [1, 9];
const EINVAL = 22;
const PAGE = 4096;
/** Byte offset of the guest pages in RAM, beyond the memory that commands use. */
const PAGES = 0x20_0000;
const POINTER = '785634127f000000';
const USER = ['10325476987f0000', '2032547698bf0000', '30325476988f0000'];

/** struct v4l2_buffer; `m` is the union. */
const record = (index: number, m: string, length: number, type = CAPTURE) => {
  const raw = Buffer.alloc(88);
  raw.set(u32(index, type));
  raw.writeUInt32LE(USERPTR, 60);
  raw.write(m, 64, 'hex');
  raw.writeUInt32LE(length, 72);
  return raw;
};
/** struct v4l2_plane. */
const plane = (m: string, length: number) => {
  const raw = Buffer.alloc(64);
  raw.writeUInt32LE(length, 4);
  raw.write(m, 8, 'hex');
  return raw;
};
/** struct virtio_media_sg_entry at byte offset `at` of the pages. The reserved word is never 0. */
const sg = (at: number, length: number) => {
  const raw = Buffer.concat([Buffer.alloc(8), u32(length, 0xdead_beef)]);
  raw.writeBigUInt64LE(BigInt(GUEST + BUFFERS + PAGES + at));
  return raw;
};

describe('shared pages on the wire', () => {
  let bench: DeviceBench;
  let session: number;
  /** The host's memory of each plane, in the order in which the planes were mapped. */
  let host: MemoryFile[];

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  const boot = async (memories: number[], planeLengths: number[]) => {
    bench = new DeviceBench('auto', new FakeTransport(), { sharedPages: true });
    Object.assign(bench.node, { memories, planeLengths });
    bench.start();
    session = await bench.open();
    host = [];
    const { file } = bench.node;
    const run = file.call.bind(file);
    file.call = async (call) => {
      if (call.kind !== 'map') return run(call);
      host.push(new MemoryFile('a host buffer, say', call.length));
      call.region = host.at(-1)!.region;
      return 0;
    };
  };
  afterEach(() => {
    bench.close();
    for (const file of host) file.close();
  });

  const request = async (type = CAPTURE) => {
    const { status, payload } = await bench.ioctl(session, REQBUFS, u32(1, type, USERPTR, 0, 0));
    assert.equal(status, 0);
    return payload;
  };
  /** Sends an ioctl with more room than the answer needs. */
  const ask = (nr: number, ...parts: Uint8Array[]) =>
    bench.command(Buffer.concat([u32(3, 0, session, nr), ...parts]), 2000);
  const calls = () =>
    bench.node.file.asked(QBUF).filter((call) => call.kind === 'buffer') as (NodeCall & { kind: 'buffer' })[];

  for (const [backing, memories] of [
    ['pages-userptr', [MMAP, USERPTR]],
    ['pages-copy', [MMAP]],
  ] as const)
    it(`${backing}: REQBUFS and CREATE_BUFS say SHARED_PAGES, and that it can be had`, async () => {
      await boot([...memories], [PAGE]);
      const requested = await request();
      const create = Buffer.concat([u32(0, 1, USERPTR, 0, CAPTURE), Buffer.alloc(236)]);
      const { status, payload } = await bench.ioctl(session, CREATE_BUFS, create);
      assert.deepEqual([status, requested.readUInt32LE(8), payload.readUInt32LE(8)], [0, USERPTR, USERPTR]);
      assert.equal(requested.readUInt32LE(12) & 2, 2);
      assert.equal(payload.readUInt32LE(224) & 2, 2);
    });

  it('the answer is the record with the pointer and length of the guest; its SG list is not in it', async () => {
    for (const memories of [[MMAP, USERPTR], [MMAP]]) {
      await boot(memories, [PAGE]);
      await request();
      const list = [sg(3 * PAGE, PAGE), sg(PAGE, PAGE)];
      for (const nr of [PREPARE_BUF, QUERYBUF, QBUF, QUERYBUF]) {
        const { status, length, payload } = await ask(nr, record(0, USER[0]!, 2 * PAGE), ...list);
        assert.deepEqual([status, length], [0, 8 + 88], `${nr}`);
        assert.deepEqual(
          [payload.toString('hex', 64, 72), payload.readUInt32LE(72), payload.readUInt32LE(60)],
          [USER[0], 2 * PAGE, USERPTR],
        );
      }
      const [call] = calls();
      const sent = Buffer.from(call!.buffer);
      assert.notEqual(sent.toString('hex', 64, 72), USER[0], "the guest's address does not reach the kernel");
      if (memories.includes(USERPTR))
        assert.deepEqual(
          call!.memory!.map(({ length }) => length),
          [2 * PAGE],
        );
      if (memories.includes(USERPTR)) bench.close();
    }
  });

  it('with planes: a list for each plane, in their order, behind the last plane record', async () => {
    await boot([MMAP], [2 * PAGE, PAGE]);
    await request(CAPTURE_MPLANE);
    // The guest sends one plane record more than the buffer has planes, and a list for it.
    const planes = [plane(USER[0]!, 2 * PAGE), plane(USER[1]!, PAGE), plane(USER[2]!, PAGE)];
    const lists = [
      sg(5 * PAGE, PAGE),
      sg(2 * PAGE, PAGE),
      sg(7 * PAGE, 100),
      sg(8 * PAGE, PAGE - 100),
      sg(0, PAGE),
    ];
    const { status, length, payload } = await ask(
      QBUF,
      record(0, POINTER, 3, CAPTURE_MPLANE),
      ...planes,
      ...lists,
    );
    assert.deepEqual([status, length], [0, 8 + 88 + 3 * 64]);
    assert.equal(payload.toString('hex', 64, 72), POINTER, 'the pointer to the planes');
    for (const [n, user] of USER.entries()) {
      assert.equal(payload.toString('hex', 88 + 64 * n + 8, 88 + 64 * n + 16), user, `plane ${n}`);
      assert.equal(payload.readUInt32LE(88 + 64 * n + 4), n === 0 ? 2 * PAGE : PAGE, `length of plane ${n}`);
    }
    assert.equal((await bench.tell(session, STREAMON, u32(CAPTURE_MPLANE))).status, 0);
    assert.equal(host.length, 2);
    for (const [n, { region }] of host.entries()) Buffer.from(region.windows[0]!).fill(0x11 * (n + 1));
    bench.node.file.frame();
    await turns();
    const [event] = bench.takeEvents();
    const at = (page: number) => bench.commands.seen(PAGES + page * PAGE, PAGE);
    for (const page of [5, 2])
      assert.ok(
        at(page).every((byte) => byte === 0x11),
        `page ${page} is of plane 0`,
      );
    assert.ok(
      at(7)
        .subarray(0, 100)
        .every((byte) => byte === 0x22),
    );
    assert.ok(
      at(8)
        .subarray(0, PAGE - 100)
        .every((byte) => byte === 0x22),
    );
    assert.ok(
      at(0).every((byte) => byte === 0),
      'the third record has no plane',
    );
    assert.equal(event!.length, 608, 'no SG list follows');
    assert.equal(event!.toString('hex', 8 + 64, 8 + 72), '00'.repeat(8));
    for (let n = 0; n < 8; n++)
      assert.equal(
        event!.toString('hex', 96 + 64 * n + 8, 96 + 64 * n + 16),
        '00'.repeat(8),
        `m of plane ${n}`,
      );
  });

  it('a refusal has the record and its planes as they came', async () => {
    await boot([MMAP, USERPTR], [PAGE, PAGE]);
    await request(CAPTURE_MPLANE);
    const sent = Buffer.concat([
      record(0, POINTER, 2, CAPTURE_MPLANE),
      plane(USER[0]!, PAGE),
      plane(USER[1]!, PAGE),
    ]);
    // The second plane has no list.
    const command = Buffer.concat([u32(3, 0, session, QBUF), sent, sg(0, PAGE)]);
    // Even if there is more room: SG lists are never in the device-writable part.
    for (const room of [0, 500]) {
      const { status, payload } = await bench.command(command, 8 + sent.length + room);
      assert.deepEqual([status, payload], [EINVAL, sent]);
    }
    assert.deepEqual(calls(), []);
  });
});
