/**
 * v4l2-compliance through the bridge and natively: the same binary, the same node, test by test. What differs is listed in
 * docs/protocol.md with its cause; one difference more fails, and so does a row of the list that no node shows any more.
 * The tool presses every button that it finds, unless the driver is called vivid: so there are none that inject faults.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { keepJournal, showJournal } from '../lab/journal.js';
import { nodeNamed, provide, unload } from '../lab/kernel-modules.js';
import { Bridge } from './bridge.js';
import { compliance, type Difference, differences, type Outcome } from './compliance.js';
import { type Expected, expectedDifferences, isExpected } from './expected.js';

interface NodeKind {
  /** As the list calls it. */
  readonly kind: string;
  readonly name: string;
}

interface Machine {
  readonly modules: readonly string[];
  readonly nodes: readonly NodeKind[];
}

const machines: readonly Machine[] = [
  {
    modules: ['vivid n_devs=1 no_error_inj=1'],
    nodes: [
      { kind: 'capture', name: 'vivid-000-vid-cap' },
      { kind: 'output', name: 'vivid-000-vid-out' },
      { kind: 'vbi', name: 'vivid-000-vbi-cap' },
      { kind: 'vbi output', name: 'vivid-000-vbi-out' },
      { kind: 'radio', name: 'vivid-000-rad-rx' },
      { kind: 'radio transmitter', name: 'vivid-000-rad-tx' },
      { kind: 'sdr', name: 'vivid-000-sdr-cap' },
      { kind: 'metadata', name: 'vivid-000-meta-cap' },
      { kind: 'metadata output', name: 'vivid-000-meta-out' },
      { kind: 'touch', name: 'vivid-000-touch-cap' },
    ],
  },
  {
    modules: ['vivid n_devs=1 multiplanar=2 node_types=0x101 no_error_inj=1'],
    nodes: [
      { kind: 'multi-planar capture', name: 'vivid-000-vid-cap' },
      { kind: 'multi-planar output', name: 'vivid-000-vid-out' },
    ],
  },
];

/** The tool on a node that the bridge serves. */
async function bridged(device: string): Promise<Outcome> {
  const bridge = await Bridge.open(device);
  try {
    return await compliance(device, bridge.environment());
  } finally {
    await bridge.close();
  }
}

const NAME = '/tmp/vmb-native-name.so';

describe('preload: v4l2-compliance', function () {
  this.timeout(600_000);
  before(() => {
    execFileSync('cc', ['-shared', '-fPIC', '-o', NAME, 'test/preload/native-name.c']);
  });
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

  for (const { modules, nodes } of machines)
    describe(modules.join(', '), () => {
      before(function () {
        provide(this, ...modules);
      });
      after(() => unload(...modules));

      for (const { kind, name } of nodes)
        it(`${kind}: as natively`, async () => {
          const device = nodeNamed(name);
          const own = await compliance(device, { LD_PRELOAD: NAME });
          const other = await bridged(device);
          assert.ok(own.verdicts.size > 30, own.output);
          const more = differences(own, other).filter((found) => unexpected(found, kind));
          if (more.length > 0) console.error(`${own.output}\n--- through the bridge:\n${other.output}`);
          assert.deepEqual(more, []);
        });
    });

  it('every row of the list is seen', function () {
    if (!complete) return this.skip();
    assert.deepEqual(
      expected.filter((row) => !seen.has(row)),
      [],
    );
  });
});
