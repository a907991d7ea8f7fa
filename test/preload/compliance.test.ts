/**
 * v4l2-compliance through the bridge and natively: the same binary, the same node, compared test by test.
 * docs/protocol.md lists the expected differences with their causes. The test fails on any other difference, and also
 * if no node shows a listed difference any more.
 */
import assert from 'node:assert/strict';
import { keepJournal, showJournal } from '../lab/support/daemon-log.js';
import { Bridge } from './support/bridge.js';
import { compliance, type Difference, differences, type Outcome } from './support/compliance.js';
import { type Expected, expectedDifferences, isExpected } from './support/expected.js';
import { type Options, type SceneRow, scenes, skipped, type Vmm, wanted } from './support/scenes.js';

/** The results of all runs on one node. */
interface Runs {
  readonly natively: Outcome;
  /** Through the bridge, in the order of the VMMs of its scene. */
  readonly bridged: readonly Outcome[];
}

/**
 * Runs the tool on a node that the bridge serves. The tool has exceptions for drivers that it knows by name, so
 * `driver` makes both runs use the same ones.
 */
async function bridged(device: string, driver: string, vmm: Vmm, serve: Options): Promise<Outcome> {
  const bridge = await Bridge.open(device, serve);
  try {
    return await compliance(device, bridge.environment({ driver, vmm }));
  } finally {
    await bridge.close();
  }
}

async function runsOf(device: string, { vmms = ['qemu'], serve = {} }: SceneRow): Promise<Runs> {
  const natively = await compliance(device);
  const others: Outcome[] = [];
  for (const vmm of vmms) others.push(await bridged(device, natively.driver, vmm, serve));
  return { natively, bridged: others };
}

const keyOf = (row: SceneRow, kind: string): string => `${row.title}: ${kind}`;

/** The work of the lanes: the runs of each node, by title and kind, and the end of each scene. */
class Lanes {
  readonly runs = new Map<string, Promise<Runs>>();
  readonly #ends: Promise<void>[] = [];

  /** Starts the scenes, one after the other. */
  start(rows: readonly SceneRow[]): void {
    let free: Promise<unknown> = Promise.resolve();
    for (const row of rows) {
      const opened = free.catch(ignore).then(row.open);
      let turn: Promise<unknown> = opened;
      for (const kind of row.kinds) {
        const runs = turn.catch(ignore).then(async () => runsOf((await opened).nodes.get(kind)!, row));
        this.runs.set(keyOf(row, kind), runs);
        turn = runs;
      }
      // If a scene cannot be opened, the tests of its nodes report it.
      const ended = turn.catch(ignore).then(() => opened.then((scene) => scene.end(), ignore));
      this.#ends.push(ended);
      free = ended;
    }
    free.catch(ignore);
  }

  /** Rejects if a process still had a node open when its driver was unloaded. */
  async end(): Promise<void> {
    await Promise.all(this.#ends);
  }
}

/** Errors are ignored here, because the promise reports them to the test that waits for it. */
const ignore = (): void => undefined;

describe('preload: v4l2-compliance', function () {
  this.timeout(900_000);
  const expected = expectedDifferences();
  const seen = new Set<Expected>();
  let complete = wanted === '';
  const lanes = new Lanes();

  const unexpected = (found: Difference, kind: string): boolean => {
    const rows = expected.filter((row) => isExpected(row, found, kind));
    for (const row of rows) seen.add(row);
    return rows.length === 0;
  };

  // On a codec the tool sleeps most of its time, so the lanes can run side by side.
  before(() => {
    keepJournal();
    for (const lane of new Set(scenes.map((row) => row.lane)))
      lanes.start(scenes.filter((row) => row.lane === lane));
  });
  after(() => lanes.end());
  afterEach(function () {
    showJournal(this.currentTest);
    if (this.currentTest?.state !== 'passed') complete = false;
  });

  for (const row of scenes)
    describe(row.title, () => {
      for (const kind of row.kinds)
        for (const [n, vmm] of (row.vmms ?? ['qemu']).entries())
          it(`${kind}${row.vmms ? `, ${vmm}` : ''}: as natively`, async function () {
            const { natively, bridged: others } = await lanes.runs
              .get(keyOf(row, kind))!
              .catch(skipped(this));
            const other = others[n]!;
            assert.ok(natively.verdicts.size > 30, natively.output);
            const more = differences(natively, other).filter((found) => unexpected(found, kind));
            if (more.length > 0)
              console.error(`${natively.output}\n--- through the bridge:\n${other.output}`);
            assert.deepEqual(more, []);
          });
    });

  // A suite of its own, because mocha runs the tests of a suite before its inner suites.
  describe('the list of differences', () => {
    it('has no row that no node shows', function () {
      if (!complete) return this.skip();
      assert.deepEqual(
        expected.filter((row) => !seen.has(row)),
        [],
      );
    });
  });
});
