/**
 * Runs the operator's command for the approver, on a thread of its own: to start a process, Node copies the tables of this
 * one's memory and waits until the program is loaded, and the event loop must not wait for either.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { parentPort } from 'node:worker_threads';

/** What the approver asks for. Without `words`: the process is ended, and all that it has started in its group. */
export interface Ask {
  readonly id: number;
  readonly words?: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
}

/** How the process has ended. `code`: its exit status; null: it was killed, or there was none (`error`: why). */
export interface Ended {
  readonly id: number;
  readonly code: number | null;
  readonly error?: string;
}

const children = new Map<number, ChildProcess>();

parentPort?.on('message', ({ id, words, environment }: Ask) => {
  if (words) start(id, words, environment);
  else end(id);
});

function start(
  id: number,
  [program = '', ...rest]: readonly string[],
  environment?: NodeJS.ProcessEnv,
): void {
  let isOver = false;
  const over = (code: number | null, error?: string): void => {
    if (isOver) return;
    isOver = true;
    children.delete(id);
    const ended: Ended = { id, code, ...(error !== undefined && { error }) };
    parentPort?.postMessage(ended);
  };
  try {
    // A group of its own, so that what it starts is ended with it. No shell, and no descriptor of the bridge.
    const child = spawn(program, rest, { env: environment, cwd: '/', stdio: 'ignore', detached: true });
    children.set(id, child);
    child.on('error', (error: NodeJS.ErrnoException) => over(null, error.code ?? error.message));
    child.on('exit', (code) => over(code));
  } catch (error) {
    over(null, String(error));
  }
}

function end(id: number): void {
  const pid = children.get(id)?.pid;
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
