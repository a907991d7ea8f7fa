import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { eventually, mappingsOf, openDescriptors, threads } from './support/process.js';

const addon = JSON.stringify(fileURLToPath(new URL('../../src/native.js', import.meta.url)));

describe('addon: the life of a NodeFile', () => {
  const node = (script: string): ReturnType<typeof spawnSync> =>
    spawnSync(
      process.execPath,
      ['--expose-gc', '--input-type=module', '-e', `import { native } from ${addon};${script}`],
      {
        encoding: 'utf8',
        timeout: 15_000,
      },
    );

  it('keeps the process alive from open to close', () => {
    const { status, stdout } = node(`
      const file = new native.NodeFile(() => undefined);
      file.open('/dev/null', () => setTimeout(() => file.close(() => console.log('closed')), 50).unref());
    `);
    assert.deepEqual([status, stdout], [0, 'closed\n']);
  });

  it('ends with the process', () => {
    const { status, stdout, stderr } = node(`
      const file = new native.NodeFile(() => undefined);
      file.open('/dev/null', () => { file.submit({ kind: 'watch', events: 1 }, () => undefined); process.exit(3); });
    `);
    assert.deepEqual([status, stdout, stderr], [3, '', '']);
  });

  it('is collected when it was never opened, kept while it is open', () => {
    const { status, stdout } = node(`
      const collect = async () => { for (let i = 0; i < 5; i++) { gc(); await new Promise((go) => setTimeout(go, 10)); } };
      const gone = new FinalizationRegistry((name) => console.log(name));
      const create = (name) => { const file = new native.NodeFile(() => undefined); gone.register(file, name); return new WeakRef(file); };
      create('unopened');
      await collect();
      const opened = create('opened');
      opened.deref().open('/dev/null', () => undefined);
      await collect();
      console.log('still open');
      opened.deref().close();
      await collect();
    `);
    assert.deepEqual([status, stdout], [0, 'unopened\nstill open\nopened\n']);
  });

  it('may be collected between its last completion and a wake that comes late', () => {
    const { status, stdout, stderr } = node(`
      let left = 100;
      for (let n = 0; n < left; n++) {
        const file = new native.NodeFile(() => undefined);
        file.open('/dev/null', () => undefined);
        file.close(() => left--);
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
      while (left > 0) { await new Promise(setImmediate); gc(); }
      for (let n = 0; n < 10; n++) { await new Promise(setImmediate); gc(); }
    `);
    assert.deepEqual([status, stdout, stderr], [0, '', '']);
  });

  it('is collected when its callback knows it too, unopened or closed', () => {
    const { status, stdout } = node(`
      const gone = new FinalizationRegistry((name) => console.log(name));
      const create = (name) => { const file = new native.NodeFile(() => file); gone.register(file, name); return file; };
      create('unopened');
      await new Promise((resolve) => { const file = create('closed'); file.open('/dev/null', () => file.close(resolve)); });
      for (let i = 0; i < 5; i++) { gc(); await new Promise((go) => setTimeout(go, 10)); }
    `);
    assert.deepEqual([status, stdout.toString().split('\n').sort()], [0, ['', 'closed', 'unopened']]);
  });

  it('makes what a completion throws an uncaught exception, and goes on', () => {
    const { status, stdout } = node(`
      process.on('uncaughtException', (error) => console.log(error.message));
      const file = new native.NodeFile(() => undefined);
      file.open('/dev/null', () => { throw new Error('one'); });
      file.submit({ kind: 'watch', events: 1 }, () => { throw new Error('two'); });
      file.close(() => console.log('closed'));
    `);
    assert.deepEqual([status, stdout], [0, 'one\ntwo\nclosed\n']);
  });

  it('ends with a worker, open, opening, pending or closing', async () => {
    const before = [openDescriptors(), threads()];
    const script = (how: string): string => `
      import(${JSON.stringify(new URL('../../src/native.js', import.meta.url).href)}).then(({ native }) => {
        const file = new native.NodeFile(() => undefined);
        const poller = new native.FdPoller(native.eventFd(), () => undefined);
        const region = new native.Region(native.memoryFile('worker', 4096), 0, 4096);
        poller.watch(4);
        ${how}
      });`;
    const ways = [
      `file.open('/dev/null', () => process.exit());`,
      `file.open('/dev/null', () => undefined); process.exit();`,
      `file.open('/dev/null', () => { file.submit({ kind: 'watch', events: 1 }, () => undefined); process.exit(); });`,
      `file.open('/dev/null', () => { file.close(); process.exit(); });`,
      `file.open('/dev/null', () => setImmediate(() => { throw new Error('worker'); }));`,
      `process.exit();`,
    ];
    for (const how of ways) {
      for (let round = 0; round < 5; round++) {
        const worker = new Worker(script(how), { eval: true });
        worker.on('error', () => undefined);
        await new Promise((resolve) => worker.on('exit', resolve));
      }
    }
    const worker = new Worker(script(`file.open('/dev/null', () => undefined);`), { eval: true });
    await sleep(200);
    await worker.terminate();
    assert.ok(await eventually(() => threads() <= before[1]!));
    assert.ok(await eventually(() => mappingsOf('memfd:worker') === 0));
    // The addon does not close the eventfd and the memory file that each script has opened itself.
    assert.ok(openDescriptors() - before[0]! <= 2 * 31 + 2);
  }).timeout(60_000);
});
