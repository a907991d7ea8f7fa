import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
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
import { native } from '../../src/native.js';
import { begun, printed } from './support/child.js';
import { keptDescriptors } from './support/kept-descriptors.js';
import { openDescriptors } from './support/process.js';

const EAGAIN = 11;
const EBADF = 9;
const ENOTSOCK = 88;
const NOBODY = 65534;
const VIDEO = 44;

/** Skips a test with a message if this process is not root, because the test starts a process of another user. */
function needsRoot(context: Mocha.Context): void {
  if (process.getuid!() === 0) return;
  console.error(`SKIPPED: ${context.test!.fullTitle()}: it needs root`);
  context.skip();
}

describe('addon: sockets that listen and connect', () => {
  let folder: string;
  const { keep, pair, open } = keptDescriptors();

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-socket-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

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
    const owner = (file: string) => [lstatSync(file).uid, lstatSync(file).gid, lstatSync(file).mode & 0o777];
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
