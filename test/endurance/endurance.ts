/** A daemon that works for a long time; what it holds is counted before and after. */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { GuestDriver } from '../../src/client/guest-driver.js';
import { Vmm } from '../../src/client/vmm.js';
import type { Kind } from '../device/support/living-objects.js';
import { plainly } from '../lab/support/serve-options.js';
import type { Holdings, Memory } from './holdings.js';

const PROGRAM = fileURLToPath(new URL('daemon.js', import.meta.url));
const MIB = 1 << 20;
/**
 * Bytes of SHM region 0: enough for what the runs map. The front-end maps the whole arena for each session, so a larger
 * region makes V8 collect garbage in each session.
 */
const WINDOW_BYTES = 4 * MIB;
/**
 * Bytes of memory that a daemon may have gained: V8 and malloc keep memory that was freed. The bound of the heap is
 * reached if each of 100,000 sessions leaves 21 bytes, the bound of the resident memory if each of 4096 sessions leaves
 * one page.
 */
const BOUNDS: Readonly<Record<keyof Memory, number>> = {
  resident: 16 * MIB,
  heap: 2 * MIB,
  external: 1 * MIB,
};
/** Time for files that are closed after the last answer. */
const SETTLE_MS = 5000;

/** The VMM and the guest of one device. */
interface Machine {
  readonly driver: GuestDriver;
  readonly frontEnd: Vmm;
}

export class Endurance {
  private constructor(
    private readonly machines: readonly Machine[],
    private readonly daemon: ChildProcess,
    private readonly folder: string,
  ) {}

  /** Starts one daemon that serves all the nodes, with a VMM and a guest for each. */
  static async serve(devices: readonly string[]): Promise<Endurance> {
    const folder = mkdtempSync(join(tmpdir(), 'vmb-endurance-'));
    const pairs = devices.map((device, nth) => ({
      device,
      socket: { path: join(folder, `vhost-user-${nth}`) },
    }));
    const daemon = fork(PROGRAM, [JSON.stringify(plainly(pairs, WINDOW_BYTES))]);
    await once(daemon, 'message');
    const machines: Machine[] = [];
    for (const { socket } of pairs) {
      const frontEnd = await Vmm.connect(socket.path);
      machines.push({ driver: await GuestDriver.probe(frontEnd), frontEnd });
    }
    return new Endurance(machines, daemon, folder);
  }

  /** The guest of each device. */
  get drivers(): readonly GuestDriver[] {
    return this.machines.map(({ driver }) => driver);
  }

  /** The guest of the first device. */
  get driver(): GuestDriver {
    return this.machines[0]!.driver;
  }

  async holdings(): Promise<Holdings> {
    const answer = once(this.daemon, 'message');
    this.daemon.send('holdings');
    return ((await answer) as [Holdings])[0];
  }

  /**
   * Checks that the daemon has the same descriptors, mappings and threads as before, and no more memory than the bounds
   * allow.
   */
  async verify(before: Holdings): Promise<Holdings> {
    const end = performance.now() + SETTLE_MS;
    let now = await this.holdings();
    while (!isBack(before, now) && performance.now() < end) {
      await sleep(50);
      now = await this.holdings();
    }
    compare(before, now);
    for (const { driver, frontEnd } of this.machines) {
      assert.deepEqual(driver.complaints, []);
      assert.equal(driver.lateAnswers, 0);
      assert.deepEqual(frontEnd.warnings, []);
    }
    return now;
  }

  async close(): Promise<void> {
    for (const { driver, frontEnd } of this.machines) {
      driver.remove();
      frontEnd.close();
    }
    const ended = once(this.daemon, 'exit');
    this.daemon.disconnect();
    await ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Whether nothing is held that was not held before. A session that was about to go before may be gone now. */
function isBack({ counts: before }: Holdings, { counts: now }: Holdings): boolean {
  const isKept = isDeepStrictEqual({ ...now, objects: null }, { ...before, objects: null });
  return (
    isKept && Object.entries(now.objects).every(([kind, count]) => count <= before.objects[kind as Kind])
  );
}

/** Checks for the same counts as before, and no more memory than the bounds allow. Throws AssertionError. */
export function compare(before: Holdings, after: Holdings): void {
  if (!isBack(before, after)) assert.deepEqual(after.counts, before.counts);
  for (const [kind, bound] of Object.entries(BOUNDS) as [keyof Memory, number][]) {
    const gained = after.memory[kind] - before.memory[kind];
    assert.ok(gained <= bound, `${kind} memory has grown by ${gained} bytes, ${bound} are allowed`);
  }
}

/** How long each of many equal steps takes, to compare the first tenth with the last. */
export class Pace {
  readonly #marks: number[] = [performance.now()];

  step(): void {
    this.#marks.push(performance.now());
  }

  /** Milliseconds for each step. */
  get figures(): { first: number; last: number; all: number } {
    const steps = this.#marks.length - 1;
    const tenth = Math.max(1, Math.floor(steps / 10));
    const mean = (from: number, to: number) => (this.#marks[to]! - this.#marks[from]!) / (to - from);
    return { first: mean(0, tenth), last: mean(steps - tenth, steps), all: mean(0, steps) };
  }
}

/** One line of figures for the log. */
export function reportOf(what: string, before: Holdings, after: Holdings, pace: Pace): string {
  const { first, last, all } = pace.figures;
  const gained = (kind: keyof Memory) =>
    `${(before.memory[kind] / MIB).toFixed(1)} -> ${(after.memory[kind] / MIB).toFixed(1)} MiB`;
  return [
    what,
    `${all.toFixed(2)} ms each (first tenth ${first.toFixed(2)}, last ${last.toFixed(2)})`,
    `${after.counts.descriptors.length} descriptors and ${after.counts.threads.length} threads as before`,
    `resident ${gained('resident')}, heap ${gained('heap')}, external ${gained('external')}`,
  ].join('; ');
}
