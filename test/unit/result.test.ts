import assert from 'node:assert/strict';
import { Errno } from '../../src/errno.js';
import { failure, isFailure, resultOf } from '../../src/result.js';

describe('failures', () => {
  it('are one for each errno, and cannot be changed', () => {
    assert.equal(failure(Errno.EINVAL), failure(22));
    assert.notEqual(failure(Errno.EINVAL), failure(Errno.EIO));
    assert.equal(failure(Errno.ENODEV).errno, 19);
    assert.ok(Object.isFrozen(failure(Errno.ENODEV)));
    assert.equal(failure(4095).errno, 4095);
  });

  it('have an errno: what the kernel cannot return is a fault of the caller', () => {
    for (const wrong of [0, -22, 4096, 1.5, Number.NaN, Infinity])
      for (let time = 0; time < 2; time++) assert.throws(() => failure(wrong), RangeError, `${wrong}`);
  });

  it('are told from every value', () => {
    assert.equal(isFailure(failure(1)), true);
    for (const value of [0, -22, 22, true, 'failure', null, undefined, { errno: 22 }, [], () => 22])
      assert.equal(isFailure(value), false, String(value));
  });

  it("are made of the addon's negative numbers, and of nothing else", () => {
    assert.equal(resultOf(-Errno.EAGAIN), failure(Errno.EAGAIN));
    const received = { length: 0, descriptors: [] };
    assert.equal(resultOf<typeof received>(-Errno.EMSGSIZE), failure(Errno.EMSGSIZE));
    for (const value of [0, 1, 2 ** 40]) assert.equal(resultOf(value), value);
    assert.equal(resultOf<typeof received>(received), received);
  });
});
