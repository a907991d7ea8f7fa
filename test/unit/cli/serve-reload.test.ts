/** A real `serve` whose configuration is read again at SIGHUP. Its nodes are files of /dev that say that they are cameras. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { message } from '../../device/support/wire.js';
import { Ask } from '../../support/front-end-messages.js';
import { CLI } from './support/run.js';

const FAKE = new URL('support/fake-description.js', import.meta.url).href;

describe('serve --config, read again at SIGHUP', function () {
  this.timeout(60_000);
  let folder: string;
  let file: string;
  let child: ChildProcess;
  let printed: string;
  let logged: string;

  const at = (name: string) => join(folder, `${name}.sock`);
  const nodes = (...names: string[]) =>
    names.map((name) => `      - {device: /dev/${name}, socket-path: ${at(name)}}\n`).join('');
  const write = (top: string, ...names: string[]) =>
    writeFileSync(file, `${top}vms:\n  desk:\n    nodes:\n${nodes(...names)}`);

  /** Resolves when the text is there. */
  async function until(text: () => string, pattern: RegExp): Promise<void> {
    while (!pattern.test(text())) {
      assert.equal(child.exitCode, null, logged);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
  async function reload(pattern: RegExp): Promise<string> {
    const before = logged.length;
    child.kill('SIGHUP');
    await until(() => logged.slice(before), pattern);
    return logged.slice(before);
  }
  /** A VMM that has had an answer. */
  async function vmm(name: string): Promise<Socket> {
    const socket = connect(at(name));
    await asked(socket);
    return socket;
  }
  async function asked(socket: Socket): Promise<void> {
    socket.write(message(Ask.GET_FEATURES, Buffer.alloc(0)));
    await once(socket, 'data');
  }

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-reload-'));
    file = join(folder, 'config.yaml');
    write('', 'null', 'zero');
    [printed, logged] = ['', ''];
    child = spawn(process.execPath, ['--import', FAKE, CLI, 'serve', '--config', file], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    child.stdout!.setEncoding('utf8').on('data', (text) => (printed += text));
    child.stderr!.setEncoding('utf8').on('data', (text) => (logged += text));
    await until(() => printed, /\/dev\/zero is served on(.|\n)*crosvm:/);
  });
  afterEach(async () => {
    const isOver = child.exitCode !== null || child.signalCode !== null;
    if (!isOver) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    assert.equal(child.exitCode, 0, logged);
    rmSync(folder, { recursive: true });
  });

  it('a broken file changes nothing, and says why; the VM goes on', async () => {
    const guest = await vmm('null');
    writeFileSync(file, 'vms:\n  desk:\n    nodes: {}\n');
    assert.match(
      await reload(/not changed/),
      /error: not changed: .*config\.yaml:3:12: nodes must be a list\n/,
    );
    rmSync(file);
    assert.match(
      await reload(/not changed/),
      /error: not changed: .* cannot be read: there is no such file\n/,
    );
    await asked(guest);
    guest.destroy();
    assert.ok(existsSync(at('zero')));
  });

  it('nodes come and go; a VM that has one keeps it until it leaves', async () => {
    const [kept, leaving] = [await vmm('null'), await vmm('zero')];
    write('log-level: debug\n', 'null', 'full');
    const said = await reload(/changed: desk: \/dev\/full: served\n/);
    assert.match(said, /info: changed: log-level\n/);
    assert.match(said, /info: changed: desk: \/dev\/zero: not served any more when its VM has left\n/);
    assert.equal(existsSync(at('zero')), false);
    await asked(kept);
    await asked(leaving);
    (await vmm('full')).destroy();
    leaving.destroy();
    write('', 'null', 'zero');
    await reload(/changed: desk: \/dev\/zero: served\n/);
    (await vmm('zero')).destroy();
    await asked(kept);
    kept.destroy();
  });

  it('what needs a restart is named, one line each', async () => {
    write('group: root\nobjects: true\nwait: true\n', 'null', 'zero');
    const said = await reload(/needs a restart: desk: \/dev\/zero: wait\n/);
    const lines = said.split('\n').flatMap((line) => /warn: (needs a restart: .*)/.exec(line)?.[1] ?? []);
    assert.deepEqual(lines, [
      'needs a restart: group',
      'needs a restart: desk: objects',
      'needs a restart: desk: /dev/null: wait',
      'needs a restart: desk: /dev/zero: wait',
    ]);
  });
});
