/** Options of `serve` become ServeOptions. */
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { serveOptions } from '../../../src/cli/serve.js';
import { defaultPolicy } from '../../../src/media/policy.js';
import { native } from '../../../src/native.js';
import { defaults, one } from './support/serve-arguments.js';

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

  it('gives the n-th device the n-th name; an empty one leaves it its own', () => {
    const given = { ...defaults, device: ['a', 'b', 'c'], 'socket-path': ['x', 'y', 'z'] };
    const names = (card: string[]) => serveOptions({ ...given, card }, []).pairs.map(({ card }) => card);
    assert.deepEqual(names(['', 'Büro 📷']), [undefined, 'Büro 📷', undefined]);
    assert.deepEqual(names(['x'.repeat(31)]), ['x'.repeat(31), undefined, undefined]);
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
