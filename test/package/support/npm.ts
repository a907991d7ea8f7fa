/** This machine's npm, and packages that it gets from the registry. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const checkout = fileURLToPath(new URL('../../../..', import.meta.url));

/** Runs npm. Throws an Error with the end of its output if it fails. */
export function npm(argv: readonly string[], cwd: string): void {
  try {
    execFileSync('npm', argv, { cwd, stdio: 'pipe', maxBuffer: 1 << 26 });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: Buffer; stderr: Buffer };
    throw new Error(`npm ${argv.join(' ')} failed:\n${`${stdout}${stderr}`.slice(-4000)}`);
  }
}

/**
 * The folder of one version of a package of the registry. It is kept below `shelf`, a folder of build/. If the registry
 * cannot be reached, says so and skips the suite or test of `context`.
 */
export function fetched(context: Mocha.Context, shelf: string, name: string, version: string): string {
  // npm removes from a prefix what it did not just install, so each package has one of its own (as test/node.sh).
  const prefix = join(checkout, 'build', shelf, `${name}-${version}`);
  const folder = join(prefix, 'node_modules', name);
  if (existsSync(folder)) return folder;
  mkdirSync(prefix, { recursive: true });
  const options = ['--no-save', '--no-package-lock', '--force', '--loglevel=error'];
  try {
    npm(['install', ...options, '--prefix', prefix, `${name}@${version}`], prefix);
  } catch (error) {
    skip(context, `${name} ${version} cannot be had: ${(error as Error).message.trim().split('\n').at(-1)}`);
  }
  return folder;
}

/** Skips the suite or test of `context`, loudly. */
export function skip(context: Mocha.Context, reason: string): never {
  const { test, currentTest } = context;
  console.error(`SKIPPED: ${test?.fullTitle() ?? currentTest?.fullTitle() ?? 'a suite'}: ${reason}`);
  context.skip();
  throw new Error('mocha has thrown already');
}
