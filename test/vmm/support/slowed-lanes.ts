/** Makes any driver slow for a while: strace delays the ioctls of the bridge's lanes. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { eventually } from '../../addon/support/process.js';
import { Program } from './program.js';

const ATTACH_MS = 20_000;
const DETACH_MS = 20_000;

/** Where strace delays an ioctl: before the driver gets it, or after the driver has done it. */
export type Held = 'enter' | 'exit';

export class SlowedLanes {
  private constructor(private readonly strace: Program) {}

  /** When this resolves, each ioctl on a lane of the process takes that many milliseconds longer. */
  static async slow(pid: number, held: Held, milliseconds: number): Promise<SlowedLanes> {
    const lanes = readdirSync(`/proc/${pid}/task`).filter((tid) => nameOf(pid, tid) === 'vmb-lane');
    assert.ok(lanes.length > 0, 'the bridge has no lane');
    const injection = `inject=ioctl:delay_${held}=${milliseconds}ms`;
    const threads = lanes.flatMap((tid) => ['-p', tid]);
    const strace = new Program('strace', 'strace', ['-e', 'trace=ioctl', '-e', injection, ...threads]);
    const attached = () => strace.stderr.split(' attached').length > lanes.length;
    assert.ok(await eventually(attached, ATTACH_MS), `strace says: ${strace.stderr}`);
    return new SlowedLanes(strace);
  }

  /** Ends the delays. Resolves to the names of the ioctls that were delayed, in order. */
  async heal(): Promise<string[]> {
    this.strace.signal('SIGINT');
    await this.strace.end(DETACH_MS);
    return [...this.strace.stderr.matchAll(/ioctl\(\d+, (\w+).*\(DELAYED\)/g)].map(([, name]) => name!);
  }
}

function nameOf(pid: number, tid: string): string {
  return readFileSync(`/proc/${pid}/task/${tid}/comm`, 'utf8').trim();
}
