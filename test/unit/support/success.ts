/** The value of a result that must have one. */
import assert from 'node:assert/strict';
import { errnoName } from '../../../src/errno.js';
import { isFailure, type Result } from '../../../src/result.js';

export function success<T>(result: Result<T>): T {
  if (isFailure(result)) assert.fail(errnoName(result.errno));
  return result;
}
