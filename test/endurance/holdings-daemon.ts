/** A daemon in a process of its own, which says what it holds. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { plainly } from '../lab/support/serve-options.js';
import { type Holdings, isBack } from './holdings.js';

const PROGRAM = fileURLToPath(new URL('daemon.js', import.meta.url));
/**
 * V8 lets its young generation grow to 48 MiB, and shrink again, for reasons of its own. Here it keeps the size that it
 * has at the start, so that the resident memory shows what the daemon keeps.
 */
const YOUNG_GENERATION = '--max-semi-space-size=1';
/** Time for files that are closed after the last answer. */
const SETTLE_MS = 5000;

export class HoldingsDaemon {
  private constructor(
    /** The socket of each device, in order. */
    readonly sockets: readonly string[],
    private readonly process: ChildProcess,
    private readonly folder: string,
  ) {}

  static async serve(devices: readonly string[], sharedMemorySize = 32 << 20): Promise<HoldingsDaemon> {
    const folder = mkdtempSync(join(tmpdir(), 'vmb-daemon-'));
    const pairs = devices.map((device, n) => ({ device, socket: { path: join(folder, `${n}.sock`) } }));
    const options = JSON.stringify(plainly(pairs, sharedMemorySize));
    const child = fork(PROGRAM, [options], { execArgv: [...process.execArgv, YOUNG_GENERATION] });
    await once(child, 'message');
    return new HoldingsDaemon(
      pairs.map(({ socket }) => socket.path),
      child,
      folder,
    );
  }

  async holdings(): Promise<Holdings> {
    const answer = once(this.process, 'message');
    this.process.send('holdings');
    return ((await answer) as [Holdings])[0];
  }

  /** What it holds when all files are closed. `before`: waits until it is the same, but not for ever. */
  async settled(before?: Holdings): Promise<Holdings> {
    const end = performance.now() + SETTLE_MS;
    let now = await this.holdings();
    for (; performance.now() < end; now = await this.holdings()) {
      if (before && isBack(before, now)) break;
      await sleep(100);
    }
    return now;
  }

  async end(): Promise<void> {
    const ended = once(this.process, 'exit');
    this.process.disconnect();
    await ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
