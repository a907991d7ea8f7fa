/** Runs a script in a child process. If the script changes its process, the tests are not affected. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const NATIVE = fileURLToPath(new URL('../../../src/native.js', import.meta.url));

/** Names for every script: `native`, `statuses()` of all threads, `threaded()` (starts libuv's threads),
 * `print(value)`. */
const PRELUDE = `
  import { closeSync, readdirSync, readFileSync } from 'node:fs';
  import { spawnSync } from 'node:child_process';
  import { stat } from 'node:fs/promises';
  import { native } from ${JSON.stringify(NATIVE)};
  const task = '/proc/self/task';
  const statuses = () => readdirSync(task).map((thread) => readFileSync(task + '/' + thread + '/status', 'latin1'));
  const threaded = () => Promise.all(Array.from({ length: 8 }, () => stat('/')));
  const print = (value) => console.log(JSON.stringify(value));
`;

interface Options {
  readonly uid?: number;
  readonly gid?: number;
  /** A program that starts the script: `setpriv` and its arguments. */
  readonly through?: readonly string[];
}

function command(script: string, { through = [] }: Options): [program: string, words: string[]] {
  const [program, ...words] = [
    ...through,
    process.execPath,
    '--input-type=module',
    '-e',
    PRELUDE + script,
  ] as const;
  return [program!, words as string[]];
}

/** The value that the script has printed. Throws the text of its stderr if it failed. */
export function printed(script: string, options: Options = {}): unknown {
  const { through: _, ...identity } = options;
  const { status, signal, stdout, stderr } = spawnSync(...command(script, options), {
    encoding: 'utf8',
    ...identity,
  });
  if (status !== 0) throw new Error(`the script ended with ${status ?? signal}: ${stderr}`);
  return JSON.parse(stdout);
}

/** Starts a script and does not wait for it. The caller must end it. */
export function begun(script: string, options: Options = {}): ChildProcess {
  const { through: _, ...identity } = options;
  return spawn(...command(script, options), { stdio: ['ignore', 'pipe', 'inherit'], ...identity });
}

/** A line of /proc/PID/status. */
export const lineOf = (status: string, name: string): string =>
  new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1]?.trim() ?? `no line ${name}`;
