import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fstatSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { native, type Received } from '../../src/native.js';
import { begun, printed } from './support/child.js';
import { openDescriptors } from './support/process.js';

const EAGAIN = 11;
const EBADF = 9;
const EINVAL = 22;
const EPIPE = 32;
const ENOTSOCK = 88;
const EMSGSIZE = 90;
const NOBODY = 65534;
const VIDEO = 44;

/** Skips a test with a message if this process is not root, because the test starts a process of another user. */
function needsRoot(context: Mocha.Context): void {
  if (process.getuid!() === 0) return;
  console.error(`SKIPPED: ${context.test!.fullTitle()}: it needs root`);
  context.skip();
}

function received(result: Received | number): Received {
  assert.ok(typeof result === 'object', `receive: ${result}`);
  return result;
}

describe('addon: sockets', () => {
  let folder: string;
  let open: number[];
  const keep = (...descriptors: number[]): number[] => {
    open.push(...descriptors);
    return descriptors;
  };
  const pair = (): [number, number] => {
    const both = native.socketPair();
    keep(...both);
    return both;
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-socket-'));
    open = [];
  });
  afterEach(() => {
    for (const fd of open) closeSync(fd);
    rmSync(folder, { recursive: true });
  });

  describe('listen and connect', () => {
    it('gives the file mode 0600, whatever the umask', () => {
      const before = process.umask(0);
      try {
        keep(native.listen(join(folder, 'a.sock')));
      } finally {
        process.umask(before);
      }
      assert.equal(lstatSync(join(folder, 'a.sock')).mode & 0o7777, 0o600);
    });

    for (const umask of [0, 0o022, 0o777])
      it(`gives the file the mode that it is told, under umask ${umask.toString(8)}`, () => {
        const before = process.umask(umask);
        try {
          for (const mode of [0o600, 0o660, 0o666, 0o640]) {
            const path = join(folder, `${mode}.sock`);
            keep(native.listen(path, mode));
            // For 0600, the default, no chmod follows, so the umask may remove bits.
            const wanted = mode === 0o600 ? mode & ~umask : mode;
            assert.equal(lstatSync(path).mode & 0o7777, wanted);
          }
        } finally {
          process.umask(before);
        }
      });

    it('gives the file the owner and the group that it is told', function () {
      needsRoot(this);
      const path = join(folder, 'a.sock');
      const owner = (file: string) => [
        lstatSync(file).uid,
        lstatSync(file).gid,
        lstatSync(file).mode & 0o777,
      ];
      keep(native.listen(path, 0o660, NOBODY, VIDEO));
      assert.deepEqual(owner(path), [NOBODY, VIDEO, 0o660]);
      const grouped = join(folder, 'b.sock');
      keep(native.listen(grouped, 0o660, undefined, VIDEO));
      assert.deepEqual(owner(grouped), [0, VIDEO, 0o660]);
      const owned = join(folder, 'c.sock');
      keep(native.listen(owned, undefined, NOBODY));
      assert.deepEqual(owner(owned), [NOBODY, 0, 0o600]);
    });

    it('leaves no file behind that it may not give away', function () {
      needsRoot(this);
      const path = join(folder, 'a.sock');
      chownSync(folder, NOBODY, NOBODY);
      const result = printed(
        `
        try { native.listen(${JSON.stringify(path)}, 0o660, 0); } catch ({ code }) { print(code); }
        `,
        { uid: NOBODY, gid: NOBODY },
      );
      assert.equal(result, 'EPERM');
      assert.equal(existsSync(path), false);
    });

    it('is at no moment open to others than it is told', async function () {
      needsRoot(this);
      chmodSync(folder, 0o755);
      const path = join(folder, 'a.sock');
      const before = process.umask(0);
      const intruder = begun(
        `
        console.log('knocking');
        for (const end = Date.now() + 20_000; Date.now() < end; ) {
          try { native.connect(${JSON.stringify(path)}); } catch {}
        }
        `,
        { uid: NOBODY, gid: NOBODY },
      );
      try {
        await once(intruder.stdout!, 'data');
        for (let round = 0; round < 2000; round++) {
          const listener = native.listen(path, 0o660, 0, VIDEO);
          // If the intruder had connected, its connection would wait here.
          assert.equal(native.accept(listener), -EAGAIN, `round ${round}`);
          closeSync(listener);
          unlinkSync(path);
        }
      } finally {
        process.umask(before);
        intruder.kill('SIGKILL');
      }
    });

    it('tells who connected: the process, its user and its group', () => {
      const path = join(folder, 'a.sock');
      const [listener] = keep(native.listen(path));
      keep(native.connect(path));
      const [server] = keep(native.accept(listener!));
      const self = { pid: process.pid, uid: process.geteuid!(), gid: process.getegid!() };
      assert.deepEqual(native.peerCredentials(server!), self);
      assert.deepEqual(native.peerCredentials(pair()[0]), self);
      assert.equal(native.peerCredentials(-1), -EBADF);
      const [eventFd] = keep(native.eventFd());
      assert.equal(native.peerCredentials(eventFd!), -ENOTSOCK);
      assert.throws(() => native.peerCredentials('1' as never), TypeError);
    });

    it('tells another user from this one', function () {
      needsRoot(this);
      chmodSync(folder, 0o755);
      const path = join(folder, 'a.sock');
      const [listener] = keep(native.listen(path, 0o666));
      const pid = printed(`native.connect(${JSON.stringify(path)}); print(process.pid);`, {
        uid: NOBODY,
        gid: VIDEO,
      });
      const [server] = keep(native.accept(listener!));
      // The process has ended by now, but the kernel keeps the credentials that it had when it connected.
      assert.deepEqual(native.peerCredentials(server!), { pid, uid: NOBODY, gid: VIDEO });
    });

    it('accepts a connection, and none when none waits', () => {
      const path = join(folder, 'a.sock');
      const [listener] = keep(native.listen(path));
      assert.equal(native.accept(listener!), -EAGAIN);
      const [client] = keep(native.connect(path));
      const [server] = keep(native.accept(listener!));
      assert.ok(server! > 0);
      assert.equal(native.send(client!, Buffer.from('hello'), []), 5);
      const into = Buffer.alloc(16);
      assert.deepEqual(native.receive(server!, into), { length: 5, descriptors: [] });
      assert.equal(into.toString('latin1', 0, 5), 'hello');
    });

    it('replaces the file of a dead listener', () => {
      const path = join(folder, 'a.sock');
      closeSync(native.listen(path));
      const [listener] = keep(native.listen(path));
      keep(native.connect(path));
      assert.ok(keep(native.accept(listener!))[0]! > 0);
    });

    it('leaves a live listener alone', () => {
      const path = join(folder, 'a.sock');
      const [listener] = keep(native.listen(path));
      assert.throws(() => native.listen(path), { code: 'EADDRINUSE', errno: 98, syscall: 'listen' });
      keep(native.connect(path));
      // One connection is from the probe of the second listen(), the other is ours.
      keep(native.accept(listener!), native.accept(listener!));
      assert.ok(open.every((fd) => fd > 0));
    });

    it('never takes away what is no socket', () => {
      const path = join(folder, 'precious');
      writeFileSync(path, 'data');
      assert.throws(() => native.listen(path), { code: 'EEXIST' });
      assert.equal(readFileSync(path, 'latin1'), 'data');
      symlinkSync('/nowhere', join(folder, 'link'));
      assert.throws(() => native.listen(join(folder, 'link')), { code: 'EEXIST' });
      assert.ok(lstatSync(join(folder, 'link')).isSymbolicLink());
    });

    it('says what failed', () => {
      assert.throws(() => native.listen('/nowhere/x.sock'), {
        message: 'listen /nowhere/x.sock: ENOENT (no such file or directory)',
        code: 'ENOENT',
        errno: 2,
        syscall: 'listen',
      });
      assert.throws(() => native.connect(join(folder, 'none')), { code: 'ENOENT', syscall: 'connect' });
      assert.throws(() => native.listen(`${folder}/${'x'.repeat(108)}`), { code: 'ENAMETOOLONG' });
      assert.throws(() => native.listen(''), { code: 'EINVAL' });
      assert.throws(() => native.listen('\0abstract'), { code: 'EINVAL' });
      const before = openDescriptors();
      assert.throws(() => native.listen('/nowhere/x.sock'));
      assert.equal(openDescriptors(), before);
    });
  });

  describe('receive and send', () => {
    it('reads what has come, up to the room there is', () => {
      const [a, b] = pair();
      assert.equal(native.receive(b, Buffer.alloc(8)), -EAGAIN);
      native.send(a, Buffer.from('abcdef'), []);
      const into = Buffer.alloc(4);
      assert.equal(received(native.receive(b, into)).length, 4);
      assert.equal(into.toString('latin1'), 'abcd');
      assert.equal(received(native.receive(b, into)).length, 2);
      assert.equal(into.toString('latin1'), 'efcd');
      assert.equal(native.receive(b, into), -EAGAIN);
    });

    it('passes descriptors, close-on-exec, of the same file', () => {
      const [a, b] = pair();
      const [one, two] = keep(native.memoryFile('one', 4096), native.memoryFile('two', 8192));
      assert.equal(native.send(a, Buffer.from('m'), [one!, two!]), 1);
      const { descriptors } = received(native.receive(b, Buffer.alloc(8)));
      keep(...descriptors);
      assert.deepEqual(
        descriptors.map((fd) => fstatSync(fd).size),
        [4096, 8192],
      );
      assert.deepEqual(
        descriptors.map((fd) => fstatSync(fd).ino),
        [fstatSync(one!).ino, fstatSync(two!).ino],
      );
      const flags = readFileSync(`/proc/self/fdinfo/${descriptors[0]}`, 'latin1').match(
        /flags:\s+(\d+)/,
      )![1]!;
      assert.ok(Number.parseInt(flags, 8) & 0o2000000);
    });

    it('passes 32 descriptors', () => {
      const [a, b] = pair();
      const [fd] = keep(native.eventFd());
      assert.equal(native.send(a, Buffer.from('m'), Array<number>(32).fill(fd!)), 1);
      const { descriptors } = received(native.receive(b, Buffer.alloc(8)));
      keep(...descriptors);
      assert.equal(descriptors.length, 32);
      assert.throws(() => native.send(a, Buffer.from('m'), Array<number>(33).fill(fd!)), TypeError);
    });

    it('does not join the descriptors of two messages', () => {
      const [a, b] = pair();
      const [fd] = keep(native.eventFd());
      native.send(a, Buffer.from('one'), [fd!]);
      native.send(a, Buffer.from('two'), [fd!]);
      const first = received(native.receive(b, Buffer.alloc(64)));
      keep(...first.descriptors);
      assert.deepEqual([first.length, first.descriptors.length], [3, 1]);
      const second = received(native.receive(b, Buffer.alloc(64)));
      keep(...second.descriptors);
      assert.deepEqual([second.length, second.descriptors.length], [3, 1]);
    });

    it('closes them all when some were cut off', () => {
      // `send` refuses more descriptors than `receive` can take. But if the descriptor table is full, the kernel cuts
      // the list off too.
      const script = `
        import { readdirSync } from 'node:fs';
        import { native } from ${JSON.stringify(fileURLToPath(new URL('../../src/native.js', import.meta.url)))};
        const [a, b] = native.socketPair();
        native.send(a, Buffer.from('m'), Array(32).fill(native.eventFd()));
        const before = readdirSync('/proc/self/fd').length;
        const results = [];
        while (before + results.length < 80) results.push(native.eventFd());
        results.length = 0;
        results.push(native.receive(b, Buffer.alloc(8)), readdirSync('/proc/self/fd').length);
        console.log(results.join());
      `;
      const { stdout } = spawnSync(
        'sh',
        ['-c', 'ulimit -n 90 && exec "$0" --input-type=module -e "$1"', process.execPath, script],
        {
          encoding: 'utf8',
        },
      );
      assert.equal(stdout, `${-EMSGSIZE},80\n`);
    });

    it('tells the end of the stream from a failure', () => {
      const [a, b] = native.socketPair();
      keep(b);
      native.send(a, Buffer.from('bye'), []);
      closeSync(a);
      const into = Buffer.alloc(8);
      assert.equal(received(native.receive(b, into)).length, 3);
      assert.equal(received(native.receive(b, into)).length, 0);
      assert.equal(native.send(b, Buffer.from('x'), []), -EPIPE);
      assert.equal(native.receive(-1, into), -EBADF);
      assert.equal(native.send(-1, into, []), -EBADF);
      assert.equal(native.accept(-1), -EBADF);
    });

    it('sends as much as fits and never waits', () => {
      const [a, b] = pair();
      const big = Buffer.alloc(8 << 20, 7);
      const sent = native.send(a, big, []);
      assert.ok(sent > 0 && sent < big.length);
      assert.equal(native.send(a, big, []), -EAGAIN);
      let got = 0;
      for (;;) {
        const result = native.receive(b, big);
        if (typeof result === 'number') break;
        got += result.length;
      }
      assert.equal(got, sent);
    });

    it('refuses an array without room: 0 would read as the end', () => {
      const [, b] = pair();
      assert.equal(native.receive(b, new Uint8Array(0)), -EINVAL);
      const into = new Uint8Array(8);
      structuredClone(into.buffer, { transfer: [into.buffer] });
      assert.equal(native.receive(b, into), -EINVAL);
    });

    it('takes accessors for descriptors that detach the bytes', () => {
      const [a] = pair();
      const bytes = new Uint8Array(64);
      const descriptors: number[] = [];
      Object.defineProperty(descriptors, 0, {
        enumerable: true,
        get: () => {
          structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
          return a;
        },
      });
      assert.equal(native.send(a, bytes, descriptors), 0);
    });
  });
});
