/** A fake sysfs and a fake /dev in a temporary folder. Each test of a suite gets a new one. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Roots } from '../../../../src/v4l2/discovery.js';

export interface FakeSysfs {
  root: string;
  roots: Roots;
}

/** Adds the hooks of a suite. `put` makes a file and `link` a symbolic link; both make the folders too. */
export function fakeSysfs() {
  const sysfs = {} as FakeSysfs;
  beforeEach(() => {
    sysfs.root = realpathSync(mkdtempSync(join(tmpdir(), 'vmb-sysfs-')));
    sysfs.roots = { sysfs: join(sysfs.root, 'sys'), dev: join(sysfs.root, 'dev') };
  });
  afterEach(() => rmSync(sysfs.root, { recursive: true }));

  const place = (path: string): string => {
    const full = join(sysfs.root, path);
    mkdirSync(dirname(full), { recursive: true });
    return full;
  };
  const put = (path: string, text: string): void => writeFileSync(place(path), text);
  const link = (path: string, target: string): void => symlinkSync(target, place(path));
  return { sysfs, put, link };
}
