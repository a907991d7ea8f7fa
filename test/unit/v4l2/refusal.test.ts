/** Lasting and momentary failures. */
import assert from 'node:assert/strict';
import { errnoOf, isLasting, isMomentary, otherwise } from '../../../src/v4l2/refusal.js';

const failure = (errno: number) => Object.assign(new Error('a failure'), { errno });

describe('v4l2/refusal', () => {
  it('a driver says of itself EINVAL, ENOTTY and EOPNOTSUPP, and nothing else', () => {
    const all = Array.from({ length: 134 }, (_, errno) => errno);
    assert.deepEqual(all.filter(isLasting), [22, 25, 95]);
    assert.equal(all.filter(isMomentary).some(isLasting), false);
  });

  it('what the host is short of says nothing of a file', () => {
    for (const errno of [4, 11, 12, 23, 24])
      assert.throws(() => otherwise('')(failure(-errno)), { errno: -errno });
    for (const errno of [2, 13, 20]) assert.equal(otherwise('absent')(failure(-errno)), 'absent');
  });

  it('reads the errno of both, node:fs and the addon', () => {
    assert.deepEqual([failure(-24), failure(24), new Error('none')].map(errnoOf), [24, 24, 5]);
  });
});
