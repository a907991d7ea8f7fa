/**
 * The command `serve` as root. It fails because /dev/null is no V4L2 node; by then it must have dropped its privileges.
 * test/lab has the tests with a node.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chownSync, closeSync, existsSync, lstatSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { native } from '../../src/native.js';
import { CLI } from '../unit/cli/support/run.js';
import { lineOf } from './support/child.js';

const NOBODY = 65534;
const VIDEO = 44;
const NONE = '0000000000000000';
/** Prints the status of every thread when the process ends. Threads end meanwhile: reading such a one fails. */
const WITNESS = `
  import { readdirSync, readFileSync } from 'node:fs';
  const task = '/proc/self/task';
  const status = (thread) => {
    try {
      return [readFileSync(task + '/' + thread + '/status', 'latin1')];
    } catch (error) {
      if (error.code === 'ENOENT' || error.code === 'ESRCH') return [];
      throw error;
    }
  };
  const statuses = () => readdirSync(task).flatMap(status);
  process.on('exit', () => process.stderr.write('witness ' + JSON.stringify(statuses()) + '\\n'));
`;

interface Result {
  readonly exit: number | null;
  readonly stderr: string;
  /** /proc/PID/status of every thread. */
  readonly statuses: readonly string[];
}

/** Runs `serve` with `words`. If `changed` is not empty, setpriv starts it with these arguments. */
function serve(words: readonly string[], changed: readonly string[] = []): Result {
  const through = changed.length > 0 ? ['setpriv', ...changed] : [];
  const argv = [...through, process.execPath, CLI, 'serve', '--device', '/dev/null', ...words];
  const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(WITNESS)}`;
  const { status, stderr } = spawnSync(argv[0]!, argv.slice(1), {
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS },
    timeout: 60_000,
  });
  const witness = /^witness (.*)$/m.exec(stderr)?.[1] ?? '[]';
  return { exit: status, stderr, statuses: JSON.parse(witness) as string[] };
}

/** The distinct values of a line, over all threads. */
const values = ({ statuses }: Result, name: string) => [
  ...new Set(statuses.map((status) => lineOf(status, name))),
];
const four = (id: number) => Array(4).fill(id).join('\t');

describe('addon: serve gives up root', function () {
  this.timeout(120_000);
  const asNobody = ['--user', `${NOBODY}`, '--group', `${VIDEO}`];
  const nobody = ['--reuid', `${NOBODY}`, '--regid', `${VIDEO}`, '--clear-groups'];
  let folder: string;
  let socket: string;

  before(function () {
    const readable = spawnSync('setpriv', [...nobody, 'test', '-r', CLI]);
    if (process.getuid!() === 0 && readable.status === 0) return;
    console.error(`SKIPPED: ${this.test!.parent!.fullTitle()}: it needs root, and ${CLI} readable for all`);
    this.skip();
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-serve-'));
    socket = join(folder, 'a.sock');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('in every thread, before the node is opened', () => {
    const result = serve(
      ['--socket-path', socket, ...asNobody],
      ['--groups', '1,2,3', '--inh-caps', '+chown'],
    );
    assert.equal(result.exit, 65, result.stderr);
    assert.ok(result.statuses.length > 4, result.stderr);
    assert.deepEqual(values(result, 'Uid'), [four(NOBODY)]);
    assert.deepEqual(values(result, 'Gid'), [four(VIDEO)]);
    assert.deepEqual(values(result, 'Groups'), ['']);
    assert.deepEqual(values(result, 'NoNewPrivs'), ['1']);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      assert.deepEqual(values(result, set), [NONE], set);
  });

  it('without capabilities where user 0 stays', () => {
    const result = serve(['--socket-path', socket, '--group', `${VIDEO}`]);
    assert.equal(result.exit, 65, result.stderr);
    assert.deepEqual([values(result, 'Uid'), values(result, 'Gid')], [[four(0)], [four(VIDEO)]]);
    for (const set of ['CapPrm', 'CapEff', 'CapBnd']) assert.deepEqual(values(result, set), [NONE], set);
    assert.match(result.stderr, /user 0 without capabilities still owns root's files/);
  });

  it('without CAP_SETPCAP too: the bounding set stays, no_new_privs stands for it', () => {
    const result = serve(
      ['--socket-path', socket, '--log-level', 'debug', ...asNobody],
      ['--bounding-set', '-setpcap', '--inh-caps', '-setpcap'],
    );
    assert.equal(result.exit, 65, result.stderr);
    assert.deepEqual([values(result, 'CapEff'), values(result, 'NoNewPrivs')], [[NONE], ['1']]);
    assert.notDeepEqual(values(result, 'CapBnd'), [NONE]);
    assert.match(result.stderr, /bounding set is not empty/);
  });

  it('leaves no socket where it may remove it, and one of that user elsewhere', () => {
    chownSync(folder, NOBODY, 0);
    assert.equal(serve(['--socket-path', socket, ...asNobody]).exit, 65);
    assert.equal(existsSync(socket), false);
    chownSync(folder, 0, 0);
    assert.equal(serve(['--socket-path', socket, ...asNobody]).exit, 65);
    const { uid, gid, mode } = lstatSync(socket);
    assert.deepEqual([uid, gid, mode & 0o7777], [NOBODY, 0, 0o600]);
  });

  it('does not become anybody where it may not, and leaves no socket', () => {
    for (const changed of [nobody, ['--bounding-set', '-setuid'], ['--bounding-set', '-setgid']]) {
      const result = serve(['--socket-path', socket, '--user', '1', '--group', '1'], changed);
      assert.equal(result.exit, 77, result.stderr);
      assert.match(result.stderr, /may not become user 1 with group 1 only: .*start as root/);
      assert.equal(existsSync(socket), false);
    }
  });

  it('does not touch a socket that somebody serves', () => {
    const listener = native.listen(socket);
    const result = serve(['--socket-path', socket, ...asNobody]);
    assert.equal(result.exit, 75, result.stderr);
    assert.equal(existsSync(socket), true);
    const asked = native.accept(listener);
    assert.ok(asked > 0, 'it was not asked whether it is alive');
    for (const fd of [asked, listener]) closeSync(fd);
  });

  it('is no new start for who is that user already', () => {
    chownSync(folder, NOBODY, 0);
    const result = serve(['--socket-path', socket, ...asNobody], nobody);
    assert.equal(result.exit, 65, result.stderr);
    assert.deepEqual(values(result, 'NoNewPrivs'), ['1']);
  });

  it('stays what it is unless told, but gets no more, in no thread', () => {
    const result = serve(['--socket-path', socket]);
    assert.equal(result.exit, 65, result.stderr);
    assert.ok(result.statuses.length > 4, result.stderr);
    assert.deepEqual([values(result, 'Uid'), values(result, 'NoNewPrivs')], [[four(0)], ['1']]);
  });
});
