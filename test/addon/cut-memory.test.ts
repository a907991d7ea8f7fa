/** A file is truncated while it is mapped: the memory reads as zeros, and the process goes on. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addonPath, native } from '../../src/native.js';
import { eventually, mappingsOf } from './support/process.js';

const PAGE = 4096;

describe('memory that its owner cuts off', () => {
  let folder: string;
  let fd: number;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-cut-'));
    fd = openSync(join(folder, 'cut-memory'), 'w+');
    ftruncateSync(fd, 4 * PAGE);
  });

  afterEach(() => {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  });

  const bytesOf = (region: { windows: readonly ArrayBuffer[] }) => new Uint8Array(region.windows[0]!);

  it('reads as zeros and takes what is written', () => {
    const region = new native.Region(fd, 0, 4 * PAGE);
    const bytes = bytesOf(region);
    bytes.fill(7);
    ftruncateSync(fd, 0);
    assert.equal(bytes[3 * PAGE], 0);
    bytes.fill(9);
    assert.ok(bytes.every((byte) => byte === 9));
    region.close();
  });

  it('is the same where its pages were joined, and leaves other mappings alone', async () => {
    const other = openSync(join(folder, 'other'), 'w+');
    ftruncateSync(other, PAGE);
    const regions = [new native.Region(fd, 0, 4 * PAGE), new native.Region(other, 0, PAGE)] as const;
    const joined = native.linearMapping([
      { region: regions[0], offset: 2 * PAGE, length: PAGE },
      { region: regions[1], offset: 0, length: PAGE },
    ]);
    bytesOf(regions[1]).fill(5);
    ftruncateSync(fd, PAGE);
    assert.equal(bytesOf(regions[0])[2 * PAGE], 0);
    assert.ok(bytesOf(regions[1]).every((byte) => byte === 5));
    if (typeof joined === 'number') assert.fail(String(joined));
    joined.close();
    for (const region of regions) region.close();
    closeSync(other);
    assert.ok(await eventually(() => mappingsOf('vmb-cut-') === 0));
  });

  it('many times over', () => {
    for (let time = 0; time < 200; time++) {
      ftruncateSync(fd, 4 * PAGE);
      const region = new native.Region(fd, 0, 4 * PAGE);
      ftruncateSync(fd, 0);
      assert.equal(bytesOf(region)[0], 0);
      region.close();
    }
  });

  it('a SIGBUS that has nothing to do with it ends the process as ever', () => {
    const program = `const native = require(${JSON.stringify(addonPath)});
      const fd = native.memoryFile('x', 4096);
      new native.Region(fd, 0, 4096);
      process.kill(process.pid, 'SIGBUS');
      setTimeout(() => undefined, 5000);`;
    const { signal, status } = spawnSync(process.execPath, ['-e', program], { stdio: 'ignore' });
    // With a sanitizer the process aborts instead.
    assert.ok(signal === 'SIGBUS' || signal === 'SIGABRT', `${signal ?? status}`);
  });
});
