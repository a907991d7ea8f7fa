/** v4l2-compliance on a node of which the guest sees only a part. This part must behave like a complete driver. */
import assert from 'node:assert/strict';
import { policyOf } from '../../src/cli/policy.js';
import { keepJournal, showJournal } from '../lab/support/daemon-log.js';
import { nodeNamed, provide, unload } from '../lab/support/kernel-modules.js';
import { VividControl as V } from '../lab/support/vivid.js';
import { Bridge } from './support/bridge.js';
import { compliance, type Outcome } from './support/compliance.js';

/** The tool presses every button that it finds, so buttons that inject faults are hidden. */
const VIVID = 'vivid n_devs=1 node_types=0x1 no_error_inj=1';

describe('preload: v4l2-compliance under a policy', function () {
  this.timeout(600_000);
  let device: string;
  let natively: Outcome;

  before(async function () {
    provide(this, VIVID);
    device = nodeNamed('vivid-000-vid-cap');
    natively = await compliance(device);
  });
  after(() => unload(VIVID));
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });

  // vivid starts with YUYV. On vivid the tool needs to see the pixel array control.
  const allowed = {
    'max-buffers': '16',
    'allow-controls': [V.CONTRAST, V.INTEGER, V.U16_MATRIX, V.PIXEL_ARRAY].join(','),
    'allow-formats': 'YUYV,NV16',
  };

  it('fails in nothing that the whole node passes', async () => {
    const bridge = await Bridge.open(device, { policy: policyOf(allowed) });
    try {
      const { verdicts, output } = await compliance(device, bridge.environment({ driver: 'vivid' }));
      assert.ok(verdicts.size > 30, output);
      const failed = [...verdicts.keys()].filter(
        (test) => verdicts.get(test) === 'FAIL' && natively.verdicts.get(test) !== 'FAIL',
      );
      if (failed.length > 0) console.error(output);
      assert.deepEqual(failed, []);
    } finally {
      await bridge.close();
    }
  });
});
