/**
 * The fuzzers with a fixed seed, with a new seed, and with every seed that once found something. VMB_FUZZ_OPERATIONS:
 * number of operations in all. VMB_FUZZ_DEVICES: the nodes that the commands are sent to, one after the other, each
 * with the same number of operations. VMB_FUZZ_SANITIZE=1: with the addon of test/sanitize.sh.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Campaign, run } from './campaign.js';
import { ForeignDescriptors } from './foreign-descriptors.js';

interface Seed {
  readonly fuzzer: string;
  readonly seed: number;
  readonly operations: number;
  readonly found: string;
}

/** Half of the operations run with each of the two seeds. */
const OPERATIONS = Number(process.env.VMB_FUZZ_OPERATIONS ?? 20_000);
const FIXED = 1;
/** Milliseconds that one operation may take on a slow machine. */
const MS_EACH = 10;
const START_MS = 180_000;
/** undefined: the fake node. */
const devices = process.env.VMB_FUZZ_DEVICES?.split(' ') ?? [undefined];
const sanitize = process.env.VMB_FUZZ_SANITIZE === '1';
const corpus = JSON.parse(
  readFileSync(new URL('../../../test/fuzz/corpus/seeds.json', import.meta.url), 'utf8'),
) as Seed[];

const suite = (device: string | undefined) => {
  // Only the commands fuzzer uses a real node.
  const target = { ...(device !== undefined && { device, only: 'commands' }), sanitize };
  let foreign: ForeignDescriptors;
  before(async () => {
    foreign = await ForeignDescriptors.open(device);
  });
  after(() => foreign.close());

  const check = async (context: Mocha.Context, campaign: Pick<Campaign, 'seed' | 'operations' | 'only'>) => {
    context.timeout(START_MS + MS_EACH * campaign.operations);
    const { findings, operations } = await run({ ...target, ...campaign, foreign });
    const told = findings.map(({ what, replay }) => `${what}\nreplay: ${replay}`);
    assert.deepEqual(told, []);
    assert.ok(operations >= campaign.operations, `${operations} of ${campaign.operations} operations`);
  };

  for (const seed of [FIXED, randomInt(2 ** 32)])
    it(`${OPERATIONS / 2} operations from seed ${seed}`, function () {
      return check(this, { seed, operations: OPERATIONS / 2 });
    });

  if (device === undefined)
    for (const { fuzzer, seed, operations, found } of corpus)
      it(`corpus: ${found}`, function () {
        return check(this, { seed, operations, only: fuzzer });
      });
};

for (const device of devices)
  describe(`fuzz${device === undefined ? '' : ` ${device}`}${sanitize ? ', sanitized' : ''}`, () =>
    suite(device));
