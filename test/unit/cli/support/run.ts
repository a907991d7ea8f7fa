/** Runs the compiled command line in a child process. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const CLI = fileURLToPath(new URL('../../../../src/cli.js', import.meta.url));

export interface Result {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the command line to its end. `inherited`: its descriptors 3 and up. */
export function run(words: readonly string[], env: NodeJS.ProcessEnv = {}, inherited: number[] = []): Result {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...words], {
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe', ...inherited],
    timeout: 60_000,
  });
  return { status, stdout, stderr };
}
