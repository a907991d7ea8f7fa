import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { ExitCode, errorExits, exitCodeOf, exits, OperatorError } from '../../../src/cli/exit.js';

const errors = readFileSync(new URL('../../../../docs/errors.md', import.meta.url), 'utf8');

describe('cli/exit', () => {
  it('gives the exit code of an error by its code', () => {
    assert.equal(exitCodeOf(new OperatorError('ERR_USAGE', '')), 64);
    assert.equal(exitCodeOf(Object.assign(new Error(), { code: 'ERR_NODE_PERMISSION' })), 77);
    assert.equal(exitCodeOf(Object.assign(new Error(), { code: 'ERR_INVALID_ARG_TYPE' })), 70);
    for (const thrown of [new Error(), new TypeError(), 'text', null, undefined, { code: 5 }])
      assert.equal(exitCodeOf(thrown), 70);
  });

  it('has a sentence for every exit code, in the order of the numbers', () => {
    assert.deepEqual(
      exits.map(([name]) => name),
      Object.keys(ExitCode),
    );
    const numbers = Object.values(ExitCode);
    assert.deepEqual(
      numbers,
      [...numbers].sort((left, right) => left - right),
    );
  });

  it('is documented: every exit code and every ERR_ code', () => {
    for (const [name, number] of Object.entries(ExitCode))
      assert.match(errors, new RegExp(`^\\| ${number} \\| \`?${name}\`? \\|`, 'm'));
    for (const code of errorExits.keys()) assert.ok(errors.includes(`\`${code}\``), code);
  });
});
