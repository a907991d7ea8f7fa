/** SHM region 0 as the VMM of the client serves it. The back-end is a FAKE. */
import assert from 'node:assert/strict';
import type { Verdict } from '../../../src/client/backend-requests.js';
import { GuestDriver } from '../../../src/client/guest-driver.js';
import type { Vmm } from '../../../src/client/vmm.js';
import { vmmTranscripts } from '../../../src/client/vmm-transcripts.js';
import { settle, until } from '../../support/until.js';
import type { FakeBackend } from './support/fake-backend.js';
import { PAGE, vmmSuite } from './support/vmm-suite.js';

const SLOTS = 1n << 15n;

describe('Vmm', () => {
  let backend: FakeBackend;
  let frontEnd: Vmm;
  let file: number;
  const { connect, start, settled } = vmmSuite((connected) => {
    ({ backend, frontEnd, file } = connected);
  });

  describe('serves SHM region 0', () => {
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
      await until(() => backend.log.length > 0);
      await settled();
      assert.deepEqual(backend.sequence, [5]);
      assert.equal(backend.log[0]!.descriptors, 2);
      assert.equal(backend.slots[1]!.offset, 3 * PAGE);
      await backend.unmap(0, PAGE);
      await until(() => backend.log.length > 1);
      assert.equal(backend.slots.length, 1);
    });

    it('echoes by slots where those are used', async () => {
      await start({ protocolFeatures: vmmTranscripts.qemu.protocolFeatures | SLOTS });
      backend.log.length = 0;
      await backend.map(file, 0, PAGE);
      await backend.unmap(0, PAGE);
      await until(() => backend.log.length > 1);
      await settled();
      assert.deepEqual(backend.sequence, [37, 38]);
    });

    it('goes on without the ninth region, as QEMU does', async () => {
      await start();
      for (let i = 0; i < 9; i++) assert.equal(await backend.map(file, i * PAGE, PAGE), 0n);
      await until(() => frontEnd.warnings.length > 0);
      await settled();
      assert.equal(backend.slots.length, 8);
      assert.match(frontEnd.warnings[0]!, /vhost_set_mem_table failed: 9 regions/);
    });

    it('forgets mappings at a reset as QEMU, keeps them as crosvm', async () => {
      for (const [vmm, kept] of [
        ['qemu', 0],
        ['crosvm', 1],
      ] as const) {
        await start({ vmm });
        await backend.map(file, 0, PAGE);
        await frontEnd.stop();
        assert.equal(frontEnd.sharedMemory.mappings.length, 1, 'a pause keeps them');
        await frontEnd.start();
        await frontEnd.reset();
        assert.equal(frontEnd.sharedMemory.mappings.length, kept, vmm);
        frontEnd.close();
        backend.close();
      }
    });

    it('lays mappings over others and acknowledges nothing as libkrun', async () => {
      await start({ vmm: 'libkrun' });
      let acknowledged = 0;
      for (const [offset, length] of [
        [0, 4 * PAGE],
        [PAGE, PAGE],
        [0, 8 * PAGE],
      ] as const)
        void backend.map(file, offset, length).then(() => acknowledged++);
      await until(() => frontEnd.sharedMemory.mapped === 3);
      await settled();
      assert.equal(acknowledged, 0);
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
      await until(() => verdicts.length === 0);
      await settled();
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
      // The front-end answers nothing that could be waited for, so some turns must do.
      await settle();
      assert.equal(acknowledgedMap, false);
      frontEnd.close();
      await config;
    });
  });
});
