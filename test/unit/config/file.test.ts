/** Which files are read as a configuration. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { configurationText, MAX_FILE_BYTES } from '../../../src/config/file.js';

const ROOT = 0;
const USER = 1000;
const refused = (message: RegExp) => ({ code: 'ERR_CONFIG', message });

describe('config/file', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-config-'));
    file = join(folder, 'config.yaml');
    writeFileSync(file, 'vms: {}\n', { mode: 0o644 });
    chmodSync(file, 0o644);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('reads a file, without a byte order mark, and through a link', () => {
    assert.equal(configurationText(file), 'vms: {}\n');
    writeFileSync(file, '\ufeffvms: {}\n');
    symlinkSync(file, join(folder, 'link'));
    assert.equal(configurationText(join(folder, 'link')), 'vms: {}\n');
  });

  it('refuses what is absent, a folder, a device, and a pipe that nobody writes to', () => {
    assert.throws(
      () => configurationText(join(folder, 'none')),
      refused(/none cannot be read: there is no such file/),
    );
    assert.throws(() => configurationText(folder), refused(/is no file/));
    assert.throws(() => configurationText('/dev/zero'), refused(/is no file/));
    const pipe = join(folder, 'pipe');
    assert.equal(spawnSync('mkfifo', [pipe]).status, 0);
    assert.throws(() => configurationText(pipe), refused(/is no file/));
  });

  it('refuses what is too long, and what is no UTF-8', () => {
    writeFileSync(file, '#'.repeat(MAX_FILE_BYTES));
    assert.equal(configurationText(file).length, MAX_FILE_BYTES);
    writeFileSync(file, '#'.repeat(MAX_FILE_BYTES + 1));
    assert.throws(() => configurationText(file), refused(/more than 256 KiB/));
    writeFileSync(file, Buffer.from([0x76, 0xff]));
    assert.throws(() => configurationText(file), refused(/is no UTF-8/));
  });

  it('as root, refuses what others may write; an ordinary user may read it', function () {
    if (process.getuid!() !== 0) this.skip();
    for (const mode of [0o664, 0o646, 0o666]) {
      chmodSync(file, mode);
      assert.throws(() => configurationText(file, ROOT), refused(/may be written by others.*chmod go-w/));
      assert.equal(configurationText(file, USER), 'vms: {}\n');
    }
    chmodSync(file, 0o600);
    chownSync(file, USER, USER);
    assert.throws(() => configurationText(file, ROOT), refused(/is not root's.*chown root/));
    assert.equal(configurationText(file, USER), 'vms: {}\n');
  });
});
