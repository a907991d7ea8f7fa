/** OBJECT: a camera's buffers get UUIDs, and another device of the VM uses them without a copy. */
import assert from 'node:assert/strict';
import { GuestDriver } from '../../src/client/guest-driver.js';
import { Vmm } from '../../src/client/vmm.js';
import { vmmTranscripts } from '../../src/client/vmm-transcripts.js';
import { Daemon, type ServeOptions } from '../../src/daemon.js';
import { Errno } from '../../src/errno.js';
import { encoded } from '../../src/struct.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import {
  BufferCapability,
  BufferType,
  buffer as bufferRecord,
  exportBuffer,
  Memory,
  requestBuffers,
} from '../../src/v4l2/layout.js';
import { Protocol } from '../../src/vhost-user/protocol.js';
import { eventually } from '../addon/support/process.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { plainly } from './support/serve-options.js';
import { errnoOf } from './support/stage.js';
import { MovingBars, showMovingBars } from './support/vivid.js';

const MODULES = ['vivid n_devs=1 node_types=0x1', 'vim2m'];
const CAMERA = 'vivid-000-vid-cap';
const CONVERTER = 'vim2m';
const { VIDEO_CAPTURE, VIDEO_OUTPUT } = BufferType;
const UUID = 16;
/** Value of the descriptor field of a record. The device ignores it and returns it unchanged. */
const PLACEHOLDER = 0x5a5a_5a5a;

/** One daemon for both nodes, each with a front-end of its own, because QEMU has one socket for each device. */
class Pair {
  camera!: GuestDriver;
  converter!: GuestDriver;
  readonly frontEnds: Vmm[] = [];
  readonly #daemon: Daemon;

  private constructor(
    private readonly sockets: readonly string[],
    options: Partial<ServeOptions>,
  ) {
    const nodes = [CAMERA, CONVERTER].map((name) => nodeNamed(name));
    const pairs = nodes.map((device, n) => ({ device, socket: { path: sockets[n]! } }));
    this.#daemon = new Daemon(plainly(pairs, 32 << 20, { objects: true, ...options }));
  }

  static async open(vmm: 'qemu' | 'crosvm', options: Partial<ServeOptions> = {}): Promise<Pair> {
    const sockets = [0, 1].map((n) => `/tmp/vmb-objects-${process.pid}-${n}.sock`);
    const pair = new Pair(sockets, options);
    await pair.#daemon.start();
    pair.camera = await pair.#enter(0, vmm);
    pair.converter = await pair.#enter(1, vmm);
    return pair;
  }

  async #enter(n: number, vmm: 'qemu' | 'crosvm'): Promise<GuestDriver> {
    const protocolFeatures = vmmTranscripts[vmm].protocolFeatures | Protocol.SHARED_OBJECT;
    const frontEnd = await Vmm.connect(this.sockets[n]!, { vmm, protocolFeatures });
    this.frontEnds.push(frontEnd);
    return GuestDriver.probe(frontEnd);
  }

  verify(): void {
    for (const { crash, warnings } of this.frontEnds) assert.deepEqual([crash, warnings], [undefined, []]);
    assert.deepEqual([this.camera.complaints, this.converter.complaints], [[], []]);
  }

  async close(): Promise<void> {
    for (const frontEnd of this.frontEnds) frontEnd.close();
    await this.#daemon.stop();
  }
}

async function onPair(
  vmm: 'qemu' | 'crosvm',
  play: (pair: Pair) => Promise<void>,
  options: Partial<ServeOptions> = {},
): Promise<void> {
  const pair = await Pair.open(vmm, options);
  try {
    await play(pair);
    pair.verify();
  } finally {
    await pair.close();
  }
}

/** EXPBUF: the structure is followed by the UUID. Returns the UUID. */
async function exportOf(queue: GuestQueue, index: number, plane = 0, flags = 0): Promise<Buffer> {
  const record = encoded(exportBuffer, { type: queue.type, index, plane, flags, fd: PLACEHOLDER });
  const sent = Buffer.concat([record, Buffer.alloc(UUID, 0xff)]);
  const answer = await queue.driver.ioctl(queue.session, Ioctl.EXPBUF, sent, { size: sent.length });
  assert.equal(exportBuffer.read(answer).fd, PLACEHOLDER, 'the place of the descriptor is left alone');
  return answer.subarray(exportBuffer.size);
}

/** QBUF, PREPARE_BUF or QUERYBUF of a single-planar buffer, whose record is followed by the UUID. Returns both. */
async function objectIoctl(queue: GuestQueue, nr: number, index: number, uuid: Uint8Array, bytesused = 0) {
  const m = Buffer.alloc(8);
  m.writeUInt32LE(PLACEHOLDER);
  const record = encoded(bufferRecord, { index, type: queue.type, memory: Memory.DMABUF, m, bytesused });
  const sent = Buffer.concat([record, uuid]);
  const answer = await queue.driver.ioctl(queue.session, nr, sent, { size: sent.length });
  return { buffer: bufferRecord.read(answer), uuid: answer.subarray(bufferRecord.size) };
}

const stream = async (queue: GuestQueue) => queue.on();

describe('lab: objects', function () {
  this.timeout(60_000);
  before(async function () {
    provide(this, ...MODULES);
    await showMovingBars(nodeNamed(CAMERA));
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(() => unload(...MODULES));

  for (const vmm of ['qemu', 'crosvm'] as const)
    it(`${vmm}: a camera's frame goes to a mem-to-mem device and comes out as it was`, () =>
      onPair(vmm, async ({ camera, converter, frontEnds }) => {
        const source = new GuestQueue(camera, await camera.open(), VIDEO_CAPTURE);
        await source.setFormat('RGB3', 320, 240);
        await source.start(4);
        const uuids: Buffer[] = [];
        for (let index = 0; index < 4; index++) uuids.push(await exportOf(source, index));
        assert.equal(new Set(uuids.map((uuid) => uuid.toString('hex'))).size, 4);
        assert.ok(await eventually(() => frontEnds[0]!.objects.size === 4, 2000), 'the VMM was not told');

        const session = await converter.open();
        const input = new ObjectQueue(converter, session, VIDEO_OUTPUT);
        const output = new GuestQueue(converter, session, VIDEO_CAPTURE);
        for (const queue of [input, output]) await queue.setFormat('RGB3', 320, 240);
        await input.request(1);
        await output.request(1);
        await output.map(0);
        await stream(input);
        await stream(output);
        const bars = new MovingBars('RGB3', 320, 240);
        for (let round = 0; round < 6; round++) {
          const frame = await source.next();
          const shift = bars.shiftOf(source.bytes(frame), `the camera's frame ${round}`);
          const uuid = uuids[frame.buffer.index]!;
          const queued = await objectIoctl(input, Ioctl.QBUF, 0, uuid, frame.buffer.bytesused);
          assert.deepEqual([queued.uuid, Buffer.from(queued.buffer.m).readUInt32LE()], [uuid, PLACEHOLDER]);
          await output.queue(0);
          const done = [await converter.nextEvent(session), await converter.nextEvent(session)];
          const captured = done.find(
            (event) => event.kind === 'dqbuf' && event.buffer.type === VIDEO_CAPTURE,
          );
          assert.ok(captured?.kind === 'dqbuf');
          assert.equal(bars.shiftOf(output.bytes(captured), `the converted frame ${round}`), shift);
          await source.queue(frame.buffer.index);
        }
        await source.off();
        await source.release();
        assert.ok(
          await eventually(() => frontEnds[0]!.objects.size === 0, 2000),
          'an object outlives its buffer',
        );
        assert.equal(await errnoOf(objectIoctl(input, Ioctl.QBUF, 0, uuids[0]!)), Errno.EINVAL);
      }));

  it('the same plane is the same object, and only as long as it exists', () =>
    onPair('qemu', async ({ camera }) => {
      const queue = new GuestQueue(camera, await camera.open(), VIDEO_CAPTURE);
      await queue.setFormat('RGB3', 320, 240);
      await queue.request(2);
      const first = await exportOf(queue, 0);
      assert.deepEqual(await exportOf(queue, 0), first);
      assert.notDeepEqual(await exportOf(queue, 1), first);
      await queue.request(2);
      assert.notDeepEqual(await exportOf(queue, 0), first);
    }));

  it('EXPBUF is refused as natively: no such buffer, plane or flag', () =>
    onPair('qemu', async ({ camera }) => {
      const queue = new GuestQueue(camera, await camera.open(), VIDEO_CAPTURE);
      assert.equal(await errnoOf(exportOf(queue, 0)), Errno.EINVAL, 'no buffers');
      await queue.setFormat('RGB3', 320, 240);
      await queue.request(2);
      assert.equal(await errnoOf(exportOf(queue, 2)), Errno.EINVAL);
      assert.equal(await errnoOf(exportOf(queue, 0, 1)), Errno.EINVAL);
      assert.equal(await errnoOf(exportOf(queue, 0, 0, 0o4000)), Errno.EINVAL, 'O_NONBLOCK');
    }));

  it('a UUID that nobody has, no UUID, a queue of another memory type: EINVAL, and the buffer is free', () =>
    onPair('qemu', async ({ camera, converter }) => {
      const source = new GuestQueue(camera, await camera.open(), VIDEO_CAPTURE);
      await source.setFormat('RGB3', 320, 240);
      await source.request(1);
      const uuid = await exportOf(source, 0);
      const input = new ObjectQueue(converter, await converter.open(), VIDEO_OUTPUT);
      await input.setFormat('RGB3', 320, 240);
      const { capabilities } = await input.request(1);
      assert.ok(capabilities & BufferCapability.DMABUF);
      for (const nr of [Ioctl.QBUF, Ioctl.PREPARE_BUF]) {
        assert.equal(await errnoOf(objectIoctl(input, nr, 0, Buffer.alloc(UUID, 7))), Errno.EINVAL);
        assert.equal(await errnoOf(objectIoctl(input, nr, 0, uuid.subarray(0, 15))), Errno.EINVAL);
        assert.equal(await errnoOf(objectIoctl(source, nr, 0, uuid)), Errno.EINVAL);
      }
      await objectIoctl(input, Ioctl.PREPARE_BUF, 0, uuid, 320 * 240 * 3);
      assert.deepEqual((await objectIoctl(input, Ioctl.QUERYBUF, 0, Buffer.alloc(UUID))).uuid, uuid);
      await objectIoctl(input, Ioctl.QBUF, 0, uuid, 320 * 240 * 3);
    }));

  it('without --objects: EXPBUF is ENOTTY, the memory type EINVAL, and no capability says otherwise', () =>
    onPair(
      'qemu',
      async ({ camera }) => {
        const queue = new GuestQueue(camera, await camera.open(), VIDEO_CAPTURE);
        await queue.setFormat('RGB3', 320, 240);
        const { capabilities } = await queue.request(1);
        assert.equal(capabilities & BufferCapability.DMABUF, 0);
        assert.equal(await errnoOf(exportOf(queue, 0)), Errno.ENOTTY);
        const request = { count: 1, type: VIDEO_CAPTURE, memory: Memory.DMABUF };
        assert.equal(
          await errnoOf(camera.call(queue.session, Ioctl.REQBUFS, requestBuffers, request)),
          Errno.EINVAL,
        );
      },
      { objects: false },
    ));
});

/** A queue whose buffers are objects. */
class ObjectQueue extends GuestQueue {
  override readonly memory = Memory.DMABUF;
}
