/** What a shell offers for the word at its cursor. None of it needs the addon, except for the options of `probe`. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import yargs, { type Options } from 'yargs';
import { partialValue } from '../../../src/cli/completion.js';
import { knownOptions } from '../../../src/cli/known-options.js';
import { serve } from '../../../src/cli/serve.js';
import { CLI, run } from './support/run.js';

const NO_ADDON = { VMB_ADDON: '/nonexistent/virtio_media_bridge.node', SHELL: '/bin/bash' };

/** The answers for these words; the last is the one at the cursor. */
function completions(...words: string[]): string[] {
  const asked = ['--get-yargs-completions', 'virtio-media-bridge', ...words];
  const { status, stdout, stderr } = run(asked, NO_ADDON);
  assert.deepEqual([status, stderr], [0, '']);
  return stdout.split('\n').filter(Boolean);
}

/** COMPREPLY of the function that the script gives to bash, for the words that bash makes of a line. */
function bash(...words: string[]): string[] {
  const script = `virtio-media-bridge() { "$NODE" "$CLI" "$@"; }
    source <(virtio-media-bridge completion)
    COMP_WORDS=(virtio-media-bridge "$@") COMP_CWORD=$#
    $(complete -p virtio-media-bridge | sed 's/.*-F \\([^ ]*\\).*/\\1/') virtio-media-bridge
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const env = { ...process.env, NODE: process.execPath, CLI, SHELL: '/bin/zsh', NODE_OPTIONS: '' };
  const { stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', ...words], { encoding: 'utf8', env });
  assert.equal(stderr, '');
  return stdout.split('\n').filter(Boolean);
}

const parser = yargs();
const { choices } = knownOptions(
  (serve.builder as (given: typeof parser) => typeof parser)(parser.options({} as Record<string, Options>)),
);

describe('cli/completion', function () {
  this.timeout(120_000);

  it('finds the value of an option, whole and in the words of bash', () => {
    const value = (option: string, typed: string, prefix = '') => ({ option, typed, prefix });
    assert.deepEqual(partialValue(['serve', '--mmap=ar']), value('mmap', 'ar', '--mmap='));
    assert.deepEqual(partialValue(['serve', '--mmap=']), value('mmap', '', '--mmap='));
    assert.deepEqual(partialValue(['serve', '--mmap', '=', 'ar']), value('mmap', 'ar'));
    assert.deepEqual(partialValue(['serve', '--mmap', '=']), value('mmap', ''));
    assert.deepEqual(partialValue(['serve', '--mmap', '=', '']), value('mmap', ''));
    for (const words of [
      [],
      ['='],
      ['a', '='],
      ['--mmap', 'ar'],
      ['--', '=', 'a'],
      ['--mmap', '=', 'a', ''],
      [''],
    ])
      assert.equal(partialValue(words), undefined, words.join(' '));
  });

  it('knows every option with choices', () => {
    assert.deepEqual(Object.keys(choices).sort(), [
      'frontend',
      'log-format',
      'log-level',
      'mmap',
      'requests',
    ]);
  });

  for (const [option, all] of Object.entries(choices))
    it(`offers the choices of --${option}`, () => {
      const [first] = all as readonly [string];
      const alike = all.filter((choice) => choice.startsWith(first.slice(0, 2)));
      const whole = (found: readonly string[]) => found.map((choice) => `--${option}=${choice}`);
      assert.deepEqual(completions('serve', `--${option}`, ''), all);
      assert.deepEqual(completions('serve', `--${option}`, '='), all);
      assert.deepEqual(completions('serve', `--${option}`, '=', first.slice(0, 2)), alike);
      assert.deepEqual(completions('serve', `--${option}=`), whole(all));
      assert.deepEqual(completions(`--${option}=${first.slice(0, 2)}`), whole(alike));
      assert.deepEqual(bash('serve', `--${option}`, '='), [...all]);
      assert.deepEqual(bash('serve', `--${option}`, '=', first.slice(0, 2)), alike);
      assert.deepEqual(bash('serve', `--${option}`, first.slice(0, 2)), alike);
    });

  it('leaves the values of other options to the shell, which offers files', () => {
    assert.deepEqual(bash('serve', '--device', '='), []);
    assert.deepEqual(bash('serve', '--device', '=', '/dev/v'), []);
    assert.deepEqual(bash('serve', '--mmap', '=', 'x'), []);
    assert.deepEqual(bash('serve', '--bogus', '='), []);
  });

  it('offers commands and their options', () => {
    assert.deepEqual(bash(''), ['serve', 'list', 'inspect', 'probe', 'doctor']);
    assert.deepEqual(bash('in'), ['inspect']);
    assert.deepEqual(bash('list', '--'), ['--version', '--help', '--json']);
    assert.deepEqual(bash('inspect', '/dev/video0', '--j'), ['--json']);
    assert.deepEqual(bash('--max-s'), ['--max-sessions']);
    assert.deepEqual(bash('serve', '--max-s'), ['--max-sessions']);
  });

  it('is not in the help', () => {
    assert.doesNotMatch(run(['--help'], NO_ADDON).stdout, /completion/);
  });
});
