/** The life of `serve`. A fake daemon lives from its start to a signal. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { serveOptions } from '../../../src/cli/serve.js';
import { serveUntilEnd } from '../../../src/cli/serve-life.js';
import type { ServeOptions } from '../../../src/daemon.js';
import { log } from '../../../src/log.js';
import { defaults, one } from './support/serve-arguments.js';

describe('cli/serve until the end', () => {
  const options = serveOptions({ ...defaults, ...one }, []);

  class FakeDaemon {
    readonly calls: string[] = [];
    status = '1 device, 0 VMs';
    complete: ServeOptions | undefined;
    constructor(
      private readonly start_: () => Promise<void> = async () => undefined,
      private readonly stop_: () => Promise<void> = async () => undefined,
    ) {}
    start(): Promise<void> {
      this.calls.push('start');
      return this.start_();
    }
    stop(): Promise<void> {
      this.calls.push('stop');
      return this.stop_();
    }
  }

  /** A FAKE process: its signals, its outputs, and its handler of uncaught exceptions. */
  class FakeHost extends EventEmitter {
    readonly stdout = new EventEmitter();
    readonly stderr = new EventEmitter();
    take: ((error: Error) => void) | undefined;
    setUncaughtExceptionCaptureCallback(take: (error: Error) => void): void {
      this.take = take;
    }
  }

  let signals: FakeHost;
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  let printed = '';

  /** What the service manager is told. */
  const told: string[] = [];
  const manager = {
    ready: (status: string) => told.push(`ready ${status}`),
    status: (text: string) => told.push(`status ${text}`),
    stopping: () => told.push('stopping'),
  };

  function serveWith(daemon: FakeDaemon): Promise<number> {
    printed = '';
    told.length = 0;
    return serveUntilEnd(
      options,
      (complete) => {
        daemon.complete = complete;
        return daemon;
      },
      signals,
      (text) => {
        printed += text;
      },
      manager,
    );
  }

  before(() => {
    log.silent = true;
  });
  beforeEach(() => {
    signals = new FakeHost();
  });
  after(() => {
    log.silent = false;
  });

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'])
    it(`prints once when it serves, and stops at ${signal}`, async () => {
      const daemon = new FakeDaemon();
      const served = serveWith(daemon);
      await settled();
      assert.equal(printed.match(/is served on/g)!.length, 1);
      signals.emit(signal);
      assert.equal(await served, 0);
      assert.deepEqual(daemon.calls, ['start', 'stop']);
    });

  it('tells the service manager when it serves, who comes and goes, and when it ends', async () => {
    let started = () => {};
    const daemon = new FakeDaemon(
      () =>
        new Promise((resolve) => {
          started = resolve;
        }),
    );
    const served = serveWith(daemon);
    await settled();
    assert.deepEqual(told, [], 'it does not serve yet');
    started();
    await settled();
    assert.deepEqual(told, ['ready 1 device, 0 VMs']);
    daemon.status = '1 device, 1 VM';
    daemon.complete!.onVmm!();
    signals.emit('SIGTERM');
    await served;
    assert.deepEqual(told, ['ready 1 device, 0 VMs', 'status 1 device, 1 VM', 'stopping']);
  });

  it('ends when the connected front-end has left', async () => {
    const daemon = new FakeDaemon();
    const served = serveWith(daemon);
    daemon.complete!.onEnd!();
    assert.equal(await served, 0);
    assert.deepEqual(daemon.calls, ['start', 'stop']);
  });

  it('ends at a signal that comes during the start, without a word', async () => {
    const served = serveWith(new FakeDaemon(() => new Promise(() => undefined)));
    signals.emit('SIGTERM');
    assert.deepEqual([await served, printed], [0, '']);
  });

  it('hands on why the daemon cannot start', async () => {
    const refused = Object.assign(new Error('no such node'), { code: 'ERR_NODE' });
    await assert.rejects(serveWith(new FakeDaemon(() => Promise.reject(refused))), refused);
    assert.equal(printed, '');
  });

  it('ends in time though the daemon does not', async () => {
    const served = serveWith(new FakeDaemon(undefined, () => new Promise(() => undefined)));
    await settled();
    const started = performance.now();
    signals.emit('SIGTERM');
    assert.equal(await served, 0);
    assert.ok(performance.now() - started < 2000);
  });

  it('goes on after an exception, and without anybody who reads its output', async () => {
    const daemon = new FakeDaemon();
    signals.stdout.on('error', () => assert.fail('what ends other commands'));
    const served = serveWith(daemon);
    await settled();
    signals.take!(new Error('a bug'));
    signals.take!(undefined as unknown as Error);
    for (const output of [signals.stdout, signals.stderr]) output.emit('error', new Error('EPIPE'));
    await settled();
    assert.deepEqual(daemon.calls, ['start']);
    signals.emit('SIGTERM');
    assert.equal(await served, 0);
  });

  it('leaves exceptions of its start alone: they end it', async () => {
    const served = serveWith(new FakeDaemon(() => new Promise(() => undefined)));
    await settled();
    assert.equal(signals.take, undefined);
    signals.emit('SIGTERM');
    await served;
  });
});
