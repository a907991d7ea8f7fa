/** The npm package, as `npm pack` makes it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { checkout, npm, skip } from './npm.js';

/** What a clone does not have. */
const MADE = new Set(['.git', 'node_modules', 'build', 'dist', 'prebuilds']);

export interface Packed {
  /** Path of the tarball. */
  readonly tarball: string;
  /** The folder with its unpacked files. */
  readonly files: string;
}

/**
 * Packs a copy of the checkout, because packing makes dist/ anew and other tests run from it. With `shared` the copy has
 * the checkout's node_modules and its cache of prebuilt addons. Without, it is a fresh clone. Throws if npm fails.
 */
function pack(shared: boolean): Packed {
  const folder = mkdtempSync(join(checkout, 'build/package-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const copy = join(folder, 'checkout');
  for (const entry of readdirSync(checkout))
    if (!MADE.has(entry))
      cpSync(join(checkout, entry), join(copy, entry), { recursive: true, preserveTimestamps: true });
  if (shared) share(copy);
  npm(['pack', '--pack-destination', folder], copy);
  const name = readdirSync(folder).find((entry) => entry.endsWith('.tgz'))!;
  execFileSync('tar', ['-xzf', name], { cwd: folder });
  return { tarball: join(folder, name), files: join(folder, 'package') };
}

function share(copy: string): void {
  symlinkSync(join(checkout, 'node_modules'), join(copy, 'node_modules'));
  mkdirSync(join(checkout, 'build/prebuilds'), { recursive: true });
  mkdirSync(join(copy, 'build'));
  symlinkSync(join(checkout, 'build/prebuilds'), join(copy, 'build/prebuilds'));
}

let made: Packed | undefined;

/**
 * The package of the checkout. It is packed once for all tests of a run. If the compiler for the other kind of machine is
 * missing, says so and skips the suite of `context`.
 */
export function packed(context: Mocha.Context): Packed {
  const compiler = process.arch === 'x64' ? 'aarch64-linux-gnu-g++' : 'x86_64-linux-gnu-g++';
  // package/prepack.sh installs it for root.
  if (process.getuid?.() !== 0 && spawnSync(compiler, ['--version']).status !== 0)
    skip(context, `there is no ${compiler}`);
  made ??= pack(true);
  return made;
}

/** The package as a fresh clone makes it. That takes minutes. */
export const packedInClone = (): Packed => pack(false);
