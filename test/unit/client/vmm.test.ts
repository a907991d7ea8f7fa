import assert from 'node:assert/strict';
import { closeSync, readdirSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import type { Verdict } from '../../../src/client/backend-requests.js';
import { GuestDriver } from '../../../src/client/guest-driver.js';
import { Vmm, type VmmOptions } from '../../../src/client/vmm.js';
import { vmmTranscripts } from '../../../src/client/vmm-transcripts.js';
import { native } from '../../../src/native.js';
import { type FakeBackend, type FakeOptions, fakeBackend } from './support/fake-backend.js';

const SLOTS = 1n << 15n;
const PAGE = 4096;

describe('FrontEnd', () => {
  let backend: FakeBackend;
  let frontEnd: Vmm;
  let file: number;

  async function connect(options: Partial<VmmOptions> = {}, fake: FakeOptions = {}): Promise<void> {
    const pair = fakeBackend(fake);
    backend = pair.backend;
    frontEnd = await Vmm.connect(pair.fd, { queueSize: 16, ...options });
  }

  async function start(options: Partial<VmmOptions> = {}, fake: FakeOptions = {}): Promise<GuestDriver> {
    await connect(options, fake);
    backend.log.length = 0;
    const driver = await GuestDriver.probe(frontEnd);
    await settled();
    return driver;
  }

  /** Waits until the back-end has received every request, also those without an acknowledgement. */
  async function settled(): Promise<void> {
    await frontEnd.readConfig();
    assert.equal(backend.log.pop()?.request, 24);
  }

  /** The bases in the last two SET_VRING_BASE requests. */
  const bases = () =>
    backend.log
      .filter(({ request }) => request === 10)
      .slice(-2)
      .map(({ body }) => body.readUInt32LE(4));
  const acknowledged = () =>
    [...new Set(backend.log.filter((m) => m.needReply).map((m) => m.request))].sort();

  before(() => {
    file = native.memoryFile('front-end-test', 16 * PAGE);
  });
  after(() => closeSync(file));
  afterEach(() => {
    frontEnd?.close();
    backend?.close();
  });

  describe('speaks as QEMU', () => {
    it('realizes in its order', async () => {
      await connect();
      assert.deepEqual(backend.sequence, [1, 15, 16, 17, 21, 3, 1, 13, 14, 13, 14, 44]);
      assert.deepEqual(acknowledged(), [13, 14, 21]);
      assert.equal(
        backend.log[2]!.body.readBigUInt64LE(),
        0x40_0629n,
        'no CONFIGURE_MEM_SLOTS unless asked for',
      );
      assert.equal(frontEnd.sharedMemory.size, 1 << 20);
    });

    it('starts in its order, with two kicks in each queue', async () => {
      await start();
      const ring = [8, 10, 9, 12, 13];
      assert.deepEqual(backend.sequence, [2, 5, ...ring, ...ring, 18, 18, 13, 13]);
      assert.deepEqual(acknowledged(), [12, 13, 18, 5]);
      await setTimeout(5);
      assert.ok(backend.rings[0]!.kicks > 0 && backend.rings[1]!.kicks > 0);
    });

    it('gives memory slot by slot where that was asked for, once', async () => {
      const protocolFeatures = vmmTranscripts.qemu.protocolFeatures | SLOTS;
      await connect({ protocolFeatures });
      assert.deepEqual(backend.sequence, [1, 15, 16, 17, 36, 21, 3, 1, 13, 14, 13, 14, 44]);
      backend.log.length = 0;
      await GuestDriver.probe(frontEnd);
      assert.deepEqual(backend.sequence.slice(0, 3), [2, 37, 8]);
      await frontEnd.stop();
      backend.log.length = 0;
      await frontEnd.start();
      assert.deepEqual(backend.sequence.slice(0, 2), [2, 8]);
    });

    it('goes on after a pause where the back-end stopped, and at 0 after a reset', async () => {
      const driver = await start({}, { device: () => Buffer.alloc(8) });
      await driver.ioctl(1, 18, Buffer.alloc(4));
      backend.log.length = 0;
      await frontEnd.stop();
      assert.deepEqual(backend.sequence, [18, 18, 11, 11]);
      await frontEnd.start();
      assert.deepEqual(bases(), [1, 0]);
      await driver.ioctl(1, 18, Buffer.alloc(4));
      await frontEnd.reset();
      driver.remove();
      await GuestDriver.probe(frontEnd);
      assert.deepEqual(bases(), [0, 0]);
    });

    it('asks something after ENABLE where it gets no acknowledgements', async () => {
      await start({ protocolFeatures: vmmTranscripts.qemu.protocolFeatures & ~(1n << 3n) });
      assert.deepEqual(backend.sequence.slice(-5), [18, 18, 1, 13, 13]);
      assert.deepEqual(acknowledged(), []);
    });
  });

  it('speaks as crosvm: rings live one by one, nothing acknowledged, features once', async () => {
    await connect({ vmm: 'crosvm' });
    assert.deepEqual(backend.sequence, [3, 1, 15, 16, 21, 17, 44]);
    backend.log.length = 0;
    const driver = await GuestDriver.probe(frontEnd);
    await settled();
    const ring = [8, 9, 10, 13, 12, 18];
    assert.deepEqual(backend.sequence, [2, 5, ...ring, ...ring]);
    assert.equal(backend.log[0]!.body.readBigUInt64LE(), 0x1_6000_0000n, 'no indirect descriptors');
    await frontEnd.reset();
    driver.remove();
    backend.log.length = 0;
    await GuestDriver.probe(frontEnd);
    await settled();
    assert.deepEqual(backend.sequence, [5, ...ring, ...ring]);
    assert.deepEqual(acknowledged(), []);
  });

  it('speaks as libkrun: memory before features, a new channel at each start, no word at a reset', async () => {
    await connect({ vmm: 'libkrun', shmSize: 1 << 22 });
    assert.deepEqual(backend.sequence, [1, 15, 16, 17]);
    assert.equal(frontEnd.sharedMemory.size, 1 << 22);
    backend.log.length = 0;
    const driver = await GuestDriver.probe(frontEnd);
    await settled();
    const ring = [8, 10, 9, 12, 13, 18];
    assert.deepEqual(backend.sequence, [3, 21, 5, 2, ...ring, ...ring]);
    backend.log.length = 0;
    await frontEnd.reset();
    driver.remove();
    await settled();
    assert.deepEqual(backend.sequence, [18, 18]);
  });

  it('speaks as cloud-hypervisor: sizes first, bases at what is available, the channel last', async () => {
    await connect({ vmm: 'cloud-hypervisor' });
    assert.deepEqual(backend.sequence, [3, 1, 15, 16, 17]);
    assert.equal(frontEnd.sharedMemory.size, 0);
    backend.log.length = 0;
    await GuestDriver.probe(frontEnd);
    const ring = [9, 10, 13, 12];
    assert.deepEqual(backend.sequence, [2, 5, 8, 8, ...ring, ...ring, 18, 18, 21]);
    assert.deepEqual(bases(), [0, 16]);
    assert.equal(acknowledged().length, 9);
  });

  it('shows its memory as one region or several', async () => {
    const ram = [
      { address: 0, length: 0xa_0000 },
      { address: 0x10_0000, length: 0x10_0000 },
    ];
    const driver = await start({ ram }, { device: (readable) => Buffer.concat([Buffer.alloc(8), readable]) });
    assert.deepEqual(
      backend.slots.map(({ guest, size, offset }) => [guest, size, offset]),
      [
        [0, 0xa_0000, 0],
        [0x10_0000, 0x10_0000, 0xa_0000],
      ],
    );
    const answer = await driver.command(Buffer.from('over two regions'), 64);
    assert.equal(answer.toString('latin1', 8, 24), 'over two regions');
  });

  describe('serves the SHM window', () => {
    it('maps, shows what is mapped, and unmaps exactly that', async () => {
      await start();
      assert.equal(await backend.map(file, 0, 4 * PAGE), 0n);
      assert.equal(await backend.map(file, 8 * PAGE, PAGE, 2 * PAGE), 0n);
      frontEnd.window(2 * PAGE, 5).set(Buffer.from('hello'));
      assert.equal(Buffer.from(frontEnd.window(8 * PAGE, 5)).toString(), 'hello');
      assert.throws(() => frontEnd.window(4 * PAGE, 1), RangeError);
      assert.throws(() => frontEnd.window(3 * PAGE, PAGE + 1), RangeError);
      for (const [offset, length] of [
        [0, PAGE],
        [PAGE, PAGE],
        [0, 0],
        [0, 1],
        [16 * PAGE, PAGE],
      ] as const)
        assert.equal(await backend.unmap(offset, length), 1n, `${length} at ${offset}`);
      assert.equal(await backend.unmap(0, 4 * PAGE), 0n);
      assert.equal(await backend.unmap(0, 4 * PAGE), 1n);
      assert.deepEqual([frontEnd.sharedMemory.mapped, frontEnd.sharedMemory.unmapped], [2, 1]);
      assert.equal(frontEnd.warnings.length, 6);
    });

    it('refuses what QEMU refuses, and takes what it takes', async () => {
      await start();
      await backend.map(file, 4 * PAGE, 4 * PAGE);
      const refused: [string, number, number, number][] = [
        ['the same', 4 * PAGE, 4 * PAGE, 0],
        ['its front', 3 * PAGE, 2 * PAGE, 0],
        ['its inside', 5 * PAGE, PAGE, 0],
        ['around it', 0, 16 * PAGE, 0],
        ['beyond the window', (1 << 20) - PAGE, 2 * PAGE, 0],
        ['nothing', 0, 0, 0],
        ['half a page into the file', 0, PAGE, PAGE / 2],
        ['beyond the file', 0, 4 * PAGE, 14 * PAGE],
      ];
      for (const [what, offset, length, fileOffset] of refused)
        assert.equal(await backend.map(file, offset, length, fileOffset), 1n, what);
      assert.equal(await backend.map(file, 8 * PAGE, PAGE), 0n, 'adjacent');
      assert.equal(await backend.ask(9, Buffer.alloc(40)), 1n, 'no descriptor');
      assert.equal(await backend.ask(9, Buffer.alloc(32), [file]), 1n, 'a short body');
      assert.equal(await backend.ask(77, Buffer.alloc(0)), 1n, 'an unknown request');
      assert.equal(await backend.ask(2, Buffer.alloc(0)), 0n, 'CONFIG_CHANGE');
      assert.equal(frontEnd.configChanges, 1);
    });

    it('echoes every mapping as memory after the acknowledgement', async () => {
      await start();
      backend.log.length = 0;
      assert.equal(await backend.map(file, 0, PAGE, 3 * PAGE), 0n);
      assert.deepEqual(backend.sequence, [], 'not before it');
      await setTimeout(5);
      assert.deepEqual(backend.sequence, [5]);
      assert.equal(backend.log[0]!.descriptors, 2);
      assert.equal(backend.slots[1]!.offset, 3 * PAGE);
      await backend.unmap(0, PAGE);
      await setTimeout(5);
      assert.equal(backend.slots.length, 1);
    });

    it('echoes by slots where those are used', async () => {
      await start({ protocolFeatures: vmmTranscripts.qemu.protocolFeatures | SLOTS });
      backend.log.length = 0;
      await backend.map(file, 0, PAGE);
      await backend.unmap(0, PAGE);
      await setTimeout(5);
      assert.deepEqual(backend.sequence, [37, 38]);
    });

    it('goes on without the ninth region, as QEMU does', async () => {
      await start();
      for (let i = 0; i < 9; i++) assert.equal(await backend.map(file, i * PAGE, PAGE), 0n);
      await setTimeout(5);
      assert.equal(backend.slots.length, 8);
      assert.match(frontEnd.warnings[0]!, /vhost_set_mem_table failed: 9 regions/);
    });

    it('forgets mappings at a reset as QEMU, keeps them as crosvm', async () => {
      for (const [dialect, kept] of [
        ['qemu', 0],
        ['crosvm', 1],
      ] as const) {
        await start({ vmm: dialect });
        await backend.map(file, 0, PAGE);
        await frontEnd.stop();
        assert.equal(frontEnd.sharedMemory.mappings.length, 1, 'a pause keeps them');
        await frontEnd.start();
        await frontEnd.reset();
        assert.equal(frontEnd.sharedMemory.mappings.length, kept, dialect);
        frontEnd.close();
        backend.close();
      }
    });

    it('lays mappings over others and acknowledges nothing as libkrun', async () => {
      await start({ vmm: 'libkrun' });
      const body = (offset: number, length: number) => {
        const raw = Buffer.alloc(40);
        raw.writeBigUInt64LE(BigInt(offset), 16);
        raw.writeBigUInt64LE(BigInt(length), 24);
        return raw;
      };
      backend.tell(9, body(0, 4 * PAGE), [file], 8);
      backend.tell(9, body(PAGE, PAGE), [file], 8);
      backend.tell(9, body(0, 8 * PAGE), [file], 8);
      await setTimeout(5);
      assert.equal(frontEnd.sharedMemory.mapped, 3);
      assert.equal(frontEnd.sharedMemory.mappings.length, 1, 'hidden ones are gone');
      assert.equal(frontEnd.window(4 * PAGE, 4 * PAGE).length, 4 * PAGE);
    });

    it('lets a test hold and refuse requests', async () => {
      let release: (verdict: Verdict) => void = () => undefined;
      const held = new Promise<Verdict>((resolve) => {
        release = resolve;
      });
      const verdicts: (Verdict | Promise<Verdict>)[] = ['refuse', held];
      await start({ judge: () => verdicts.shift() ?? 'serve' });
      assert.equal(await backend.map(file, 0, PAGE), 1n);
      let done = false;
      const answer = backend.map(file, 0, PAGE).then((ack) => {
        done = true;
        return ack;
      });
      await setTimeout(20);
      assert.equal(done, false);
      release('serve');
      assert.equal(await answer, 0n);
    });

    it('does not look at the back-end while it waits for an answer of it', async () => {
      await connect({ timeout: 1000 }, { silent: [24] });
      await GuestDriver.probe(frontEnd);
      const config = assert.rejects(frontEnd.readConfig(), /closed/);
      let acknowledgedMap = false;
      void backend.map(file, 0, PAGE).then(() => {
        acknowledgedMap = true;
      });
      await setTimeout(30);
      assert.equal(acknowledgedMap, false);
      frontEnd.close();
      await config;
    });
  });

  describe('notes what would kill a VMM', () => {
    it('QEMU: a message while the device is not started', async () => {
      await connect();
      backend.tell(2, Buffer.alloc(0));
      await setTimeout(5);
      assert.match(frontEnd.crash!, /request 2 .* not started/);
      await assert.rejects(frontEnd.readConfig(), /would have died/);
    });

    it('crosvm: a request that it refuses', async () => {
      await start({ vmm: 'crosvm' });
      void backend.unmap(0, PAGE);
      await setTimeout(5);
      assert.match(frontEnd.crash!, /not one mapping/);
    });

    it('nothing else', async () => {
      await start();
      await backend.unmap(0, PAGE);
      backend.closeChannel();
      await frontEnd.readConfig();
      assert.equal(frontEnd.crash, undefined);
    });
  });

  it('rejects what the back-end refuses, answers wrongly, or never answers', async () => {
    await assert.rejects(start({}, { refuse: [18] }), /SET_VRING_ENABLE: the back-end refused it/);
    frontEnd.close();
    backend.close();
    const silent = fakeBackend({ silent: [1] });
    await assert.rejects(Vmm.connect(silent.fd, { timeout: 30 }), /GET_FEATURES: no answer in 0.03 s/);
    silent.backend.close();
    const bare = fakeBackend({ virtioFeatures: 1n << 32n });
    await assert.rejects(Vmm.connect(bare.fd), /no protocol features/);
    bare.backend.close();
  });

  it('ends everything when the back-end goes away', async () => {
    const driver = await start();
    const waiting = assert.rejects(driver.ioctl(1, 4), /closed the connection/);
    await setTimeout(5);
    backend.close();
    await waiting;
    assert.match(frontEnd.ended!.message, /closed the connection/);
    await assert.rejects(driver.open(), /closed the connection/);
    await assert.rejects(frontEnd.start(), /closed the connection/);
  });

  it('leaves no descriptor behind', async () => {
    const count = () => readdirSync('/proc/self/fd').length;
    const before = count();
    for (let i = 0; i < 5; i++) {
      await start();
      await backend.map(file, 0, PAGE);
      frontEnd.close();
      frontEnd.close();
      backend.close();
    }
    await setTimeout(5);
    assert.equal(count(), before);
  });
});
