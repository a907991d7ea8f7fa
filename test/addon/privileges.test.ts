/**
 * Dropping privileges. Each test uses a child process, because a process cannot get its privileges back. The tests need
 * root; without it they are skipped with a message.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { native } from '../../src/native.js';
import { lineOf, printed } from './support/child.js';

const EPERM = 1;
const ENOENT = 2;
const EBADF = 9;
const NOBODY = 65534;
const VIDEO = 44;
const CAP_SETGID = 6;
const CAP_SETUID = 7;
const CAP_SETPCAP = 8;
const NONE = '0000000000000000';

const held = BigInt(`0x${lineOf(readFileSync('/proc/self/status', 'latin1'), 'CapEff')}`);

/** Skips a test with a message if this process lacks these capabilities. */
function needs(context: Mocha.Context, ...capabilities: number[]): void {
  const missing = capabilities.filter((capability) => ((held >> BigInt(capability)) & 1n) === 0n);
  if (missing.length === 0) return;
  console.error(
    `SKIPPED: ${context.test!.fullTitle()}: this process lacks the capabilities ${missing.join()} (run it as root)`,
  );
  context.skip();
}

/** For each of these lines of /proc/PID/status, its distinct values over all threads. */
function lines(statuses: readonly string[], ...names: string[]): string[][] {
  return names.map((name) => [...new Set(statuses.map((status) => lineOf(status, name)))]);
}

describe('addon: privileges', () => {
  it('become: user and group of every thread, and no supplementary groups', function () {
    needs(this, CAP_SETGID, CAP_SETUID);
    const script = `
      await threaded();
      const errno = native.become(${NOBODY}, ${VIDEO});
      if (errno !== 0) throw new Error('errno ' + errno);
      print(statuses());
    `;
    const statuses = printed(script, { through: ['setpriv', '--groups', '1,2,3'] }) as string[];
    assert.ok(statuses.length > 4, `${statuses.length} threads`);
    const all = (id: number) => [Array(4).fill(id).join('\t')];
    assert.deepEqual(lines(statuses, 'Uid', 'Gid', 'Groups'), [all(NOBODY), all(VIDEO), ['']]);
    assert.deepEqual(lines(statuses, 'CapPrm', 'CapEff', 'CapAmb'), [[NONE], [NONE], [NONE]]);
  });

  it('become: no way back to root', function () {
    needs(this, CAP_SETGID, CAP_SETUID);
    const script = `
      native.become(${NOBODY}, ${VIDEO});
      // Each id is tried alone, because become() stops at the first refusal. The program starts with this process's
      // ids.
      const tries = [['--reuid', '0'], ['--regid', '0', '--keep-groups'], ['--groups', '0'], ['--reuid', '1']];
      const refused = tries.map((words) => spawnSync('setpriv', [...words, 'true'], { encoding: 'latin1' }).stderr);
      print([native.become(0, 0), native.dropBoundingSet(), refused]);
    `;
    const [become, bounding, refused] = printed(script) as [number, number, string[]];
    assert.deepEqual([become, bounding], [EPERM, EPERM]);
    for (const words of refused) assert.match(words, /Operation not permitted/);
  });

  it('become: EPERM where the process may not', function () {
    needs(this, CAP_SETGID, CAP_SETUID);
    const result = printed(`print(native.become(0, 0))`, { uid: NOBODY, gid: NOBODY });
    assert.equal(result, EPERM);
  });

  it('clearCapabilities and dropBoundingSet: nothing is left of this thread’s', function () {
    needs(this, CAP_SETPCAP);
    const status = printed(`
      const errors = [native.dropBoundingSet(), native.clearCapabilities(), native.dropBoundingSet()];
      print([errors, readFileSync('/proc/thread-self/status', 'latin1')]);
    `) as [number[], string];
    // The second dropBoundingSet() succeeds because there is nothing to drop.
    assert.deepEqual(status[0], [0, 0, 0]);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      assert.equal(lineOf(status[1], set), NONE, set);
  });

  it('noNewPrivileges is of one thread, shareNoNewPrivileges makes it every thread’s', () => {
    const [before, shared] = printed(`
      await threaded();
      if (native.noNewPrivileges() !== 0) throw new Error('refused');
      const before = statuses();
      if (native.shareNoNewPrivileges() !== 0) throw new Error('not shared');
      await threaded();
      print([before, statuses()]);
    `) as [string[], string[]];
    if (lineOf(readFileSync('/proc/self/status', 'latin1'), 'NoNewPrivs') === '0')
      assert.deepEqual(lines(before, 'NoNewPrivs')[0]!.sort(), ['0', '1']);
    assert.ok(shared.length > 4, `${shared.length} threads`);
    assert.deepEqual(lines(shared, 'NoNewPrivs'), [['1']]);
  });

  it('undumpable: the process’s own files in /proc are root’s', function () {
    needs(this, CAP_SETGID, CAP_SETUID);
    const result = printed(`
      native.become(${NOBODY}, ${VIDEO});
      const errno = native.undumpable();
      print([errno, (await stat('/proc/self/mem')).uid]);
    `);
    assert.deepEqual(result, [0, 0]);
  });

  it('execute: another image of the same process, with these words, variables and descriptors', () => {
    const inner = `
      const { readdirSync, readlinkSync } = require('node:fs');
      const target = (fd) => { try { return readlinkSync('/proc/self/fd/' + fd); } catch { return ''; } };
      const open = readdirSync('/proc/self/fd').map(target).filter((path) => path.startsWith('/memfd:'));
      console.log(JSON.stringify([process.pid, process.argv.slice(1), process.env, open]));
    `;
    const [pid, words, variables, open] = printed(`
      const kept = native.memoryFile('kept', 4096);
      native.memoryFile('left', 4096);
      await threaded();
      const argv = [process.execPath, '-e', ${JSON.stringify(inner)}, String(process.pid), 'two words'];
      native.execute(process.execPath, argv, ['A=b', 'C=d=e'], [0, 1, 2, kept]);
    `) as [number, string[], Record<string, string>, string[]];
    assert.deepEqual(words, [String(pid), 'two words']);
    assert.deepEqual(variables, { A: 'b', C: 'd=e' });
    assert.deepEqual(open, ['/memfd:kept (deleted)']);
  });

  it('execute: an errno where there is no such program or descriptor', () => {
    assert.equal(native.execute('/nowhere/program', ['program'], [], []), ENOENT);
    assert.equal(native.execute('/nowhere/program', ['program'], [], [1_000_000]), EBADF);
  });

  it('takes nothing that is no id, text or descriptor', () => {
    const calls: [string, ...unknown[]][] = [
      ['become'],
      ['become', 0],
      ['become', -1, 0],
      ['become', 0, 2 ** 32 - 1],
      ['become', 'root', 0],
      ['become', 1.5, 0],
      ['execute', '/nowhere/program'],
      ['execute', '/nowhere/program', ['a'], {}, []],
      ['execute', '/nowhere/program', [1], [], []],
      ['execute', '/nowhere/program', ['a\0b'], [], []],
      ['execute', '/nowhere/program', ['a'], [], [-1]],
      ['execute', '/nowhere/program', ['a'], [], ['0']],
      ['execute', 5, ['a'], [], []],
    ];
    for (const [name, ...given] of calls) {
      const call = (native as unknown as Record<string, (...rest: unknown[]) => unknown>)[name]!;
      assert.throws(() => call(...given), TypeError, JSON.stringify([name, ...given]));
    }
  });
});

describe('addon: accounts', () => {
  it('finds users and groups by name and by number', () => {
    assert.deepEqual(native.user('root'), { name: 'root', uid: 0, gid: 0 });
    assert.deepEqual(native.user(0), { name: 'root', uid: 0, gid: 0 });
    assert.deepEqual(native.group('root'), { name: 'root', gid: 0 });
    assert.deepEqual(native.group(0), { name: 'root', gid: 0 });
    const nobody = /^nobody:[^:]*:(\d+):(\d+):/m.exec(readFileSync('/etc/passwd', 'latin1'))!;
    assert.deepEqual(native.user('nobody'), {
      name: 'nobody',
      uid: Number(nobody[1]),
      gid: Number(nobody[2]),
    });
  });

  it('finds none that there is not', () => {
    for (const which of ['no-such-name', '', '0', 4_000_000_000]) {
      assert.equal(native.user(which), undefined);
      assert.equal(native.group(which), undefined);
    }
  });

  it('takes names and ids only', () => {
    for (const which of [undefined, null, -1, 1.5, 2 ** 32 - 1, {}, []] as never[]) {
      assert.throws(() => native.user(which), TypeError);
      assert.throws(() => native.group(which), TypeError);
    }
  });
});
