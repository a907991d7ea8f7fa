/** A device file that is a V4L2 node for programs under the fake node's library, and the part of sysfs that knows it. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from './options.js';

const NUMBERS = ['81', '0'];

export class FakeDevice {
  readonly folder = mkdtempSync(join(tmpdir(), 'vmb-bench-'));
  readonly path = join(this.folder, 'video0');
  /** For `launch`: comes in the place of /sys/dev/char. */
  readonly sysfs = join(this.folder, 'char');

  /** Throws a UsageError if this process may make no device file. */
  constructor() {
    process.on('exit', () => rmSync(this.folder, { recursive: true, force: true }));
    const node = join(this.folder, 'devices/fake/video4linux/video0');
    for (const each of [node, this.sysfs]) mkdirSync(each, { recursive: true });
    writeFileSync(join(node, 'name'), 'Fake camera\n');
    writeFileSync(join(node, 'index'), '0\n');
    writeFileSync(join(node, 'uevent'), `MAJOR=${NUMBERS[0]}\nMINOR=${NUMBERS[1]}\nDEVNAME=video0\n`);
    symlinkSync('../..', join(node, 'device'));
    symlinkSync(node, join(this.sysfs, NUMBERS.join(':')));
    try {
      execFileSync('mknod', [this.path, 'c', ...NUMBERS], { stdio: 'pipe' });
    } catch (error) {
      throw new UsageError(`no device file can be made here: ${(error as Error).message}`);
    }
  }

  file(name: string): string {
    return join(this.folder, name);
  }
}
