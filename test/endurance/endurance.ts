/** A daemon that works for a long time; what it holds is counted before and after. */
import assert from 'node:assert/strict';
import { GuestDriver } from '../../src/client/guest-driver.js';
import { Vmm } from '../../src/client/vmm.js';
import { type Holdings, isBack, type Memory } from './holdings.js';
import { HoldingsDaemon } from './holdings-daemon.js';

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

/** The VMM and the guest of one device. */
interface Machine {
  readonly driver: GuestDriver;
  readonly frontEnd: Vmm;
}

export class Endurance {
  private constructor(
    private readonly machines: readonly Machine[],
    private readonly daemon: HoldingsDaemon,
  ) {}

  /** Starts one daemon that serves all the nodes, with a VMM and a guest for each. */
  static async serve(devices: readonly string[]): Promise<Endurance> {
    const daemon = await HoldingsDaemon.serve(devices, WINDOW_BYTES);
    const machines: Machine[] = [];
    for (const socket of daemon.sockets) {
      const frontEnd = await Vmm.connect(socket);
      machines.push({ driver: await GuestDriver.probe(frontEnd), frontEnd });
    }
    return new Endurance(machines, daemon);
  }

  /** The guest of each device. */
  get drivers(): readonly GuestDriver[] {
    return this.machines.map(({ driver }) => driver);
  }

  /** The guest of the first device. */
  get driver(): GuestDriver {
    return this.machines[0]!.driver;
  }

  holdings(): Promise<Holdings> {
    return this.daemon.holdings();
  }

  /**
   * Checks that the daemon has the same descriptors, mappings and threads as before, and no more memory than the bounds
   * allow.
   */
  async verify(before: Holdings): Promise<Holdings> {
    const now = await this.daemon.settled(before);
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
    await this.daemon.end();
  }
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
