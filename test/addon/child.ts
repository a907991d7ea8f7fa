/** A script in a process of its own: what it changes of itself ends with it. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const NATIVE = fileURLToPath(new URL('../../src/native.js', import.meta.url));

/** What every script may use: `native`, `statuses()` of every thread, `threaded()`, `print(value)`. */
const PRELUDE = `
  import { closeSync, readdirSync, readFileSync } from 'node:fs';
  import { stat } from 'node:fs/promises';
  import { native } from ${JSON.stringify(NATIVE)};
  const task = '/proc/self/task';
  const statuses = () => readdirSync(task).map((thread) => readFileSync(task + '/' + thread + '/status', 'latin1'));
  const threaded = () => Promise.all(Array.from({ length: 8 }, () => stat('/')));
  const print = (value) => console.log(JSON.stringify(value));
`;

interface Identity {
  readonly uid?: number;
  readonly gid?: number;
}

const words = (script: string) => ['--input-type=module', '-e', PRELUDE + script];

/** What the script printed. Throws what it said where it failed. */
export function printed(script: string, options: Identity = {}): unknown {
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, words(script), {
    encoding: 'utf8',
    ...options,
  });
  if (status !== 0) throw new Error(`the script ended with ${status ?? signal}: ${stderr}`);
  return JSON.parse(stdout);
}

/** A script that runs meanwhile; its end is the caller's. */
export function begun(script: string, options: Identity = {}): ChildProcess {
  return spawn(process.execPath, words(script), { stdio: ['ignore', 'pipe', 'inherit'], ...options });
}

/** A line of /proc/PID/status. */
export const lineOf = (status: string, name: string): string =>
  new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1]?.trim() ?? `no line ${name}`;
