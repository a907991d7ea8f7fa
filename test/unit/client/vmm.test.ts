/** The VMM of the client: it speaks as four VMMs do. The back-end is a FAKE. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { GuestDriver } from '../../../src/client/guest-driver.js';
import { Vmm } from '../../../src/client/vmm.js';
import { vmmTranscripts } from '../../../src/client/vmm-transcripts.js';
import { until } from '../../support/until.js';
import { type FakeBackend, fakeBackend } from './support/fake-backend.js';
import { PAGE, vmmSuite } from './support/vmm-suite.js';

const SLOTS = 1n << 15n;

describe('Vmm', () => {
  let backend: FakeBackend;
  let frontEnd: Vmm;
  let file: number;
  const { connect, start, settled } = vmmSuite((connected) => {
    ({ backend, frontEnd, file } = connected);
  });

  /** The bases in the last two SET_VRING_BASE requests. */
  const bases = () =>
    backend.log
      .filter(({ request }) => request === 10)
      .slice(-2)
      .map(({ body }) => body.readUInt32LE(4));
  const acknowledged = () =>
    [...new Set(backend.log.filter((m) => m.needReply).map((m) => m.request))].sort();

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
      await until(() => backend.rings.every(({ kicks }) => kicks > 0));
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

  describe('notes what would kill a VMM', () => {
    it('QEMU: a message while the device is not started', async () => {
      await connect();
      backend.tell(2, Buffer.alloc(0));
      await until(() => frontEnd.crash !== undefined);
      assert.match(frontEnd.crash!, /request 2 .* not started/);
      await assert.rejects(frontEnd.readConfig(), /would have died/);
    });

    it('crosvm: a request that it refuses', async () => {
      await start({ vmm: 'crosvm' });
      void backend.unmap(0, PAGE);
      await until(() => frontEnd.crash !== undefined);
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
    await until(() => backend.rings[0]!.next > 0);
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
    await until(() => count() === before);
  });
});
