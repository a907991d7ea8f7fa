/** Options of `serve` become ServeOptions. A fake daemon lives from its start to a signal. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { closeSync, openSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { boundPath, listeningDescriptors } from '../../../src/cli/activation.js';
import { type ServeArguments, serveOptions, serveUntilEnd } from '../../../src/cli/serve.js';
import { sharedMemorySize } from '../../../src/cli/size.js';
import { vmmOptions } from '../../../src/cli/vmm-options.js';
import type { ServeOptions } from '../../../src/daemon.js';
import { log } from '../../../src/log.js';
import { defaultPolicy } from '../../../src/media/policy.js';
import { native } from '../../../src/native.js';

/** The result of yargs if no option is given. */
const defaults: ServeArguments = {
  mmap: 'auto',
  frontend: 'auto',
  'mem-slots': false,
  objects: false,
  'shared-pages': false,
  'error-events': false,
  requests: 'auto',
};
const one = { device: ['/dev/video0'], 'socket-path': ['/run/a.sock'] };

const usage = (message: RegExp) => ({ code: 'ERR_USAGE', message });

describe('cli/serve options', () => {
  it('has documented defaults', () => {
    assert.deepEqual(serveOptions({ ...defaults, ...one }, []), {
      pairs: [{ device: '/dev/video0', socket: { path: '/run/a.sock' } }],
      sharedMemorySize: 2 ** 30,
      mmap: 'auto',
      policy: defaultPolicy,
      frontend: 'auto',
      memSlots: false,
      objects: false,
      sharedPages: false,
      errorEvents: false,
      requests: 'auto',
    });
  });

  it('passes on what is given', () => {
    const given = { ...one, 'shm-size': '256M', mmap: 'direct', frontend: 'qemu', 'mem-slots': true };
    const { sharedMemorySize: size, mmap, frontend, memSlots } = serveOptions(given, []);
    assert.deepEqual([size, mmap, frontend, memSlots], [256 * 2 ** 20, 'direct', 'qemu', true]);
    assert.equal(serveOptions({ ...defaults, ...one, 'no-shm': true }, []).sharedMemorySize, 0);
    assert.equal(serveOptions({ ...defaults, ...one, 'max-sessions': '3' }, []).policy?.maxSessions, 3);
  });

  for (const [flag, name] of [
    ['objects', 'objects'],
    ['shared-pages', 'sharedPages'],
    ['error-events', 'errorEvents'],
  ] as const)
    it(`turns on what --${flag} names, and nothing else`, () => {
      const { objects, sharedPages, errorEvents } = serveOptions({ ...defaults, ...one, [flag]: true }, []);
      const off = { objects: false, sharedPages: false, errorEvents: false };
      assert.deepEqual({ objects, sharedPages, errorEvents }, { ...off, [name]: true });
    });

  it('waits for a producer if asked to, and says nothing of it otherwise', () => {
    assert.equal(serveOptions({ ...defaults, ...one, wait: true }, []).wait, true);
    assert.ok(!('wait' in serveOptions({ ...defaults, ...one, wait: false }, [])));
    assert.throws(
      () => serveOptions({ ...defaults, ...one, wait: [true, true] }, []),
      usage(/--wait is given twice/),
    );
  });

  it('refuses a switch that is given twice', () => {
    for (const flag of ['objects', 'shared-pages', 'error-events'])
      assert.throws(
        () => serveOptions({ ...defaults, ...one, [flag]: [true, true] }, []),
        usage(new RegExp(`--${flag} is given twice`)),
      );
  });

  it('pairs devices and sockets in order', () => {
    const { pairs } = serveOptions({ ...defaults, device: ['a', 'b'], 'socket-path': ['x', 'y'] }, []);
    assert.deepEqual(pairs, [
      { device: 'a', socket: { path: 'x' } },
      { device: 'b', socket: { path: 'y' } },
    ]);
  });

  it('pairs devices with the sockets of systemd', () => {
    const { pairs } = serveOptions({ ...defaults, device: ['a', 'b'] }, [3, 4]);
    assert.deepEqual(
      pairs.map(({ socket }) => socket),
      [{ listeningFd: 3 }, { listeningFd: 4 }],
    );
    assert.throws(() => serveOptions({ ...defaults, ...one }, [3]), usage(/systemd passed the sockets/));
    assert.throws(
      () => serveOptions({ ...defaults, device: ['a', 'b'] }, [3]),
      usage(/2 devices but 1 socket/),
    );
  });

  it('pairs what listens already with the paths, in order', () => {
    const [a, b] = [native.socketPair(), native.socketPair()];
    const given = { ...defaults, device: ['a', 'b'], 'socket-path': ['x', 'y'] };
    try {
      const { pairs } = serveOptions({ ...given, 'listening-fd': [`${a[0]}`, `${b[0]}`] }, []);
      assert.deepEqual(
        pairs.map(({ socket }) => socket),
        [
          { path: 'x', listeningFd: a[0] },
          { path: 'y', listeningFd: b[0] },
        ],
      );
      assert.throws(
        () => serveOptions({ ...given, 'listening-fd': [`${a[0]}`] }, []),
        usage(/2 --socket-paths but 1 --listening-fd/),
      );
      assert.throws(() => serveOptions({ ...given, 'listening-fd': ['9999', '9998'] }, []), {
        code: 'ERR_DESCRIPTOR',
      });
    } finally {
      for (const fd of [...a, ...b]) closeSync(fd);
    }
  });

  it('takes an inherited device and refuses one that is no device', () => {
    const fd = openSync('/dev/null', 'r+');
    const file = openSync(join(process.cwd(), 'package.json'), 'r');
    const given = (number: number) => ({ ...defaults, 'device-fd': [`${number}`], 'socket-path': ['x'] });
    assert.equal(serveOptions(given(fd), []).pairs[0]!.device, fd);
    assert.throws(() => serveOptions(given(file), []), {
      code: 'ERR_DESCRIPTOR',
      message: /is not a device/,
    });
    closeSync(fd);
    closeSync(file);
    assert.throws(() => serveOptions(given(fd), []), { code: 'ERR_DESCRIPTOR', message: /is not open/ });
  });
});

describe('cli/size', () => {
  it('reads sizes', () => {
    for (const [text, size] of [
      ['65536', 65536],
      ['64K', 65536],
      ['256M', 2 ** 28],
      ['1g', 2 ** 30],
      ['4GiB', 2 ** 32],
      ['64G', 2 ** 36],
    ] as const)
      assert.equal(sharedMemorySize(text), size);
  });

  for (const text of [
    '',
    '0',
    '32K',
    '128G',
    '3M',
    '1.5G',
    '-1G',
    '1T',
    'G',
    '0x10000',
    '1e9',
    '99999999999999999999G',
  ])
    it(`refuses ${JSON.stringify(text)}`, () =>
      assert.throws(() => sharedMemorySize(text), usage(/power of two/)));
});

describe('cli/activation', () => {
  it('takes descriptors that are meant for this process, and clears the variables', () => {
    const env: NodeJS.ProcessEnv = { LISTEN_PID: '42', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b', HOME: '/' };
    assert.deepEqual(listeningDescriptors(env, 42), [3, 4]);
    assert.deepEqual(env, { HOME: '/' });
  });

  it('takes none that are meant for another process, or make no sense', () => {
    const rows = [
      {},
      { LISTEN_FDS: '1' },
      { LISTEN_PID: '41', LISTEN_FDS: '1' },
      { LISTEN_PID: '42', LISTEN_FDS: 'x' },
    ];
    for (const env of [
      ...rows,
      { LISTEN_PID: '42', LISTEN_FDS: '-1' },
      { LISTEN_PID: '42', LISTEN_FDS: '1e9' },
    ])
      assert.deepEqual(listeningDescriptors({ ...env }, 42), []);
  });

  it('finds the path of a listening socket', async () => {
    const path = join(tmpdir(), `vmb-bound-${process.pid}.sock`);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const fd = (server as unknown as { _handle: { fd: number } })._handle.fd;
    assert.equal(boundPath(fd), path);
    await new Promise((resolve) => server.close(resolve));
    rmSync(path, { force: true });
    assert.equal(boundPath(9999), undefined);
  });
});

describe('cli/paste', () => {
  it('prints the options of both VMMs for every pair', () => {
    const text = vmmOptions([
      { device: '/dev/video0', socket: { path: '/run/a.sock' } },
      { device: 7, socket: { path: '/run/b.sock' } },
    ]);
    assert.match(
      text,
      /^\/dev\/video0 is served on \/run\/a\.sock\ndescriptor 7 is served on \/run\/b\.sock\n/,
    );
    assert.match(
      text,
      /-m 4G -object memory-backend-memfd,id=vmb-memory,size=4G,share=on -machine memory-backend=vmb-memory/,
    );
    assert.match(
      text,
      /-chardev socket,id=vmb1,path=\/run\/b\.sock -device vhost-user-media-pci,chardev=vmb1,vectors=3\n/,
    );
    assert.match(text, /--vhost-user media,socket=\/run\/a\.sock\n/);
  });

  it('says what each device is, if that is known', () => {
    const socket = (path: string) => ({ socket: { path } });
    const pairs = [
      { device: '/dev/video0', ...socket('/run/a.sock') },
      { device: '/dev/deskcam', ...socket('/run/b.sock') },
    ];
    const text = vmmOptions(pairs, [undefined, 'whatever /dev/deskcam leads to']);
    assert.match(
      text,
      /on \/run\/a\.sock\n\/dev\/deskcam is served on .*\n {2}it is whatever \/dev\/deskcam leads to\n/,
    );
  });

  it('makes a path absolute, doubles commas for QEMU and quotes for the shell', () => {
    const text = vmmOptions([{ device: 'd', socket: { path: "a b,c'd" } }]);
    const path = join(process.cwd(), "a b,,c'\\''d");
    assert.ok(text.includes(`-chardev 'socket,id=vmb0,path=${path}' `), text);
  });

  it('says nothing where the VMM is connected already', () => {
    assert.equal(vmmOptions([{ device: 'd', socket: { connectedFd: 3 } }]), '');
  });
});

describe('cli/serve until the end', () => {
  const options = serveOptions({ ...defaults, ...one }, []);

  class FakeDaemon {
    readonly calls: string[] = [];
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

  function serveWith(daemon: FakeDaemon): Promise<number> {
    printed = '';
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
