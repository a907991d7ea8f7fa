/**
 * v4l2-compliance through the bridge and natively: the same binary, the same node, test by test. What differs is listed in
 * docs/protocol.md with its cause; one difference more fails, and so does a row of the list that no node shows any more.
 */
import assert from 'node:assert/strict';
import { keepJournal, showJournal } from '../lab/journal.js';
import { Bridge } from './bridge.js';
import { compliance, type Difference, differences, type Outcome } from './compliance.js';
import { type Expected, expectedDifferences, isExpected } from './expected.js';
import { type Options, type Scene, scenes } from './scenes.js';

/** The tool on a node that the bridge serves. It has exceptions for drivers that it knows by name: both runs shall have the same. */
async function bridged(device: string, driver: string, serve: Options): Promise<Outcome> {
  const bridge = await Bridge.open(device, serve);
  try {
    return await compliance(device, bridge.environment({ driver }));
  } finally {
    await bridge.close();
  }
}

describe('preload: v4l2-compliance', function () {
  this.timeout(600_000);
  const expected = expectedDifferences();
  const seen = new Set<Expected>();
  let complete = true;

  const unexpected = (found: Difference, kind: string): boolean => {
    const rows = expected.filter((row) => isExpected(row, found, kind));
    for (const row of rows) seen.add(row);
    return rows.length === 0;
  };

  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
    if (this.currentTest?.state !== 'passed') complete = false;
  });

  for (const { title, kinds, serve = {}, open } of scenes)
    describe(title, () => {
      let scene: Scene;
      before(async function () {
        scene = await open(this);
      });
      after(() => scene?.end());

      for (const kind of kinds)
        it(`${kind}: as natively`, async () => {
          const device = scene.nodes.get(kind)!;
          const own = await compliance(device);
          const other = await bridged(device, own.driver, serve);
          assert.ok(own.verdicts.size > 30, own.output);
          const more = differences(own, other).filter((found) => unexpected(found, kind));
          if (more.length > 0) console.error(`${own.output}\n--- through the bridge:\n${other.output}`);
          assert.deepEqual(more, []);
        });
    });

  // A suite of its own: mocha runs the tests of a suite before the suites in it.
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
