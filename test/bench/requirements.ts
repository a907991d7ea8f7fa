/** What a test needs that uses the fake node. */
import { spawnSync } from 'node:child_process';
import { skip } from '../package/support/npm.js';

/** Skips the suite of `context` if something is missing. */
export function requireParts(context: Mocha.Context): void {
  if (process.getuid?.() !== 0) skip(context, 'it needs root');
  const missing = ['gcc', 'g++', 'make'].find((each) => spawnSync(each, ['--version']).status !== 0);
  if (missing) skip(context, `there is no ${missing}`);
  const unshared = spawnSync('unshare', ['--mount', 'true']);
  if (unshared.status !== 0) skip(context, `there is no mount name space to be had: ${unshared.stderr}`);
}
