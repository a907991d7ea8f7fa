/** Which results of a probe the bridge remembers of a driver, and which not. The node is a fake. */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import { MemoryFile } from '../../../src/virtio/memory-file.js';
import { DeviceBench, u32 } from './bench.js';
import { FakeTransport } from './fake-transport.js';

const [EINTR, EIO, EAGAIN, ENOMEM, EFAULT, EBUSY, ENODEV, EINVAL, ENFILE, EMFILE, ENOTTY] = [
  4, 5, 11, 12, 14, 16, 19, 22, 23, 24, 25,
];
const EOPNOTSUPP = 95;
const [MMAP, USERPTR] = [1, 2];

describe('backing', () => {
  const made: MemoryFile[] = [];
  let bench: DeviceBench;

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  afterEach(() => {
    bench.close();
    for (const file of made.splice(0)) file.close();
  });

  function memory(): MemoryFile {
    const file = new MemoryFile('a buffer of the host', 4096);
    made.push(file);
    return file;
  }

  /** REQBUFS in a new session: its status, and the memory types tried on the host. `prepare`: errno of PREPARE_BUF. */
  async function allocate(prepare: number, memoryType = MMAP): Promise<[status: number, hosts: number[]]> {
    const session = await bench.open();
    const { file } = bench.node;
    const run = file.call.bind(file);
    file.call = async (call) => {
      if (call.kind === 'map') {
        call.region = memory().region;
        return 0;
      }
      return prepare !== 0 && call.kind === 'buffer' && call.nr === 93 ? prepare : run(call);
    };
    const { status } = await bench.ioctl(session, 8, u32(2, 1, memoryType, 0, 0));
    const asked = file.asked(8).map((call) => Buffer.from((call as { payload: Uint8Array }).payload));
    await bench.command(u32(2, 0, session, 0), 0);
    return [status, asked.filter((raw) => raw.readUInt32LE(0) > 0).map((raw) => raw.readUInt32LE(8))];
  }

  for (const errno of [ENOMEM, EINTR, EAGAIN, EMFILE, ENFILE, EBUSY, EIO, ENODEV])
    it(`PREPARE_BUF errno ${errno}: this queue is copied, the next one tries again`, async () => {
      bench = new DeviceBench();
      bench.start();
      assert.deepEqual(await allocate(errno), [0, [USERPTR, MMAP]]);
      assert.equal(bench.node.traits.has('userptr:1'), false);
      assert.deepEqual(await allocate(0), [0, [USERPTR, USERPTR]]);
      assert.equal(bench.node.traits.get('userptr:1'), true);
      assert.deepEqual(await allocate(errno), [0, [USERPTR]], 'a driver that takes it is not tried again');
    });

  for (const errno of [EFAULT, EINVAL, ENOTTY, EOPNOTSUPP])
    it(`PREPARE_BUF errno ${errno}: the driver says it of itself, for all sessions`, async () => {
      bench = new DeviceBench();
      bench.start();
      assert.deepEqual(await allocate(errno), [0, [USERPTR, MMAP]]);
      assert.equal(bench.node.traits.get('userptr:1'), false);
      assert.deepEqual(await allocate(0), [0, [MMAP]]);
    });

  it('PREPARE_BUF ENODEV of a node that is gone: the guest hears it, and the next one is tried again', async () => {
    bench = new DeviceBench();
    bench.start();
    bench.node.hungUp = true;
    assert.deepEqual(await allocate(ENODEV), [ENODEV, [USERPTR]]);
    assert.deepEqual(await allocate(0), [0, [USERPTR, USERPTR]]);
  });

  it('pages of the guest: the same', async () => {
    bench = new DeviceBench('auto', new FakeTransport(), { sharedPages: true });
    bench.start();
    assert.deepEqual(await allocate(ENOMEM, USERPTR), [0, [USERPTR, MMAP]]);
    assert.deepEqual(await allocate(0, USERPTR), [0, [USERPTR, USERPTR]]);
  });

  it('pages of the guest: memory for the trial that the host has not is an errno as any other', async () => {
    bench = new DeviceBench('auto', new FakeTransport(), { sharedPages: true });
    bench.start();
    // A memory file cannot have this size.
    bench.node.planeLengths = [0];
    assert.deepEqual((await allocate(0, USERPTR))[1], [USERPTR, MMAP]);
    bench.node.planeLengths = [1000];
    assert.deepEqual(await allocate(0, USERPTR), [0, [USERPTR, USERPTR]]);
  });

  for (const [errno, remembered] of [
    [EMFILE, undefined],
    [ENOMEM, undefined],
    [ENOTTY, false],
    [EFAULT, undefined],
  ] as const)
    it(`EXPBUF errno ${errno} is ${remembered === false ? 'remembered' : 'of this queue alone'}`, async () => {
      bench = new DeviceBench('direct', new FakeTransport(1 << 24, 'direct', true));
      bench.start();
      let fails = true;
      bench.node.ioctls.set(16, (payload) => {
        if (fails) return errno;
        payload.writeInt32LE(new MemoryFile('a dmabuf', 4096).fd, 16);
        return 0;
      });
      assert.equal((await allocate(0))[0], 0);
      assert.equal(bench.node.traits.get('direct:1'), remembered);
      fails = false;
      await allocate(0);
      assert.equal(bench.node.traits.get('direct:1'), remembered ?? true);
    });

  it('a mapping without memory is EIO, and not a buffer that is never found', async () => {
    bench = new DeviceBench();
    bench.node.memories = [MMAP];
    bench.start();
    const session = await bench.open();
    const { file } = bench.node;
    const run = file.call.bind(file);
    file.call = async (call) => (call.kind === 'map' ? 0 : run(call));
    assert.equal((await bench.ioctl(session, 8, u32(2, 1, MMAP, 0, 0))).status, EIO);
    assert.equal(file.buffers.length, 0);
  });
});
