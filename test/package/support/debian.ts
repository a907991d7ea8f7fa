/** The Debian package, as package/deb.sh makes it of the npm package. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { checkout, skip } from './npm.js';
import { packed } from './packed.js';
import { provideRoot } from './root.js';

const made = new Map<string, string>();

/**
 * Path of the package of this machine's kind. Each version is made once for all tests of a run. If it cannot be made,
 * says why and skips the suite of `context`.
 */
export function debianPackage(context: Mocha.Context, version = '0.1.0'): string {
  if (process.getuid?.() !== 0) skip(context, 'a Debian package is made by root');
  provideRoot(context, 'tools');
  const known = made.get(version);
  if (known !== undefined) return known;
  const path = build(packed(context).files, version);
  made.set(version, path);
  return path;
}

/** Makes the package once more. `arch`: Debian's name of another kind of machine. Throws an Error with the end of the output if that fails. */
export function build(files: string, version: string, arch?: string): string {
  const output = mkdtempSync(join(checkout, 'build/debian-'));
  process.once('exit', () => rmSync(output, { recursive: true, force: true }));
  const env = { ...process.env, VMB_DEB_VERSION: version, SOURCE_DATE_EPOCH: '1700000000' };
  try {
    const options = ['--packed', files, '--output', output, ...(arch ? ['--arch', arch] : [])];
    execFileSync('package/deb.sh', options, { cwd: checkout, env, stdio: 'pipe' });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: Buffer; stderr: Buffer };
    throw new Error(`package/deb.sh failed:\n${`${stdout}${stderr}`.slice(-4000)}`);
  }
  return join(output, readdirSync(output).find((name) => name.endsWith('.deb'))!);
}
