/** The options of `serve` that protect whoever is in front of the camera. */
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { serveOptions } from '../../../src/cli/serve.js';
import { defaults, one } from './support/serve-arguments.js';

const options = (more: object) => serveOptions({ ...defaults, ...one, ...more }, []);
const usage = (message: RegExp) => ({ code: 'ERR_USAGE', message });

describe('cli/privacy', () => {
  it('--approve: refuses what is no absolute path of a program that can be run', () => {
    for (const [text, message] of [
      ['', /absolute path of a program, not nothing/],
      ['   ', /absolute path of a program, not nothing/],
      ['true', /absolute path of a program, not true/],
      ['./true', /absolute path of a program, not \.\/true/],
      ['/nowhere/command', /\/nowhere\/command cannot be run: ENOENT/],
      ['/etc/passwd', /\/etc\/passwd cannot be run: EACCES/],
      ['/bin/true "', /has a quote that does not end/],
    ] as const)
      assert.throws(() => options({ approve: text }), usage(message), text);
    assert.throws(() => options({ approve: ['/bin/true', '/bin/true'] }), usage(/--approve is given twice/));
  });

  it('--on-demand: refuses a descriptor of this process, which is open all the time', () => {
    const fd = openSync('/dev/null', 'r+');
    const inherited = { device: undefined, 'device-fd': [`${fd}`], 'on-demand': true };
    try {
      assert.throws(
        () => options(inherited),
        usage(/--on-demand and an inherited descriptor exclude each other/),
      );
    } finally {
      closeSync(fd);
    }
    for (const device of ['/proc/self/fd/5', '/proc/17/fd/5', '/dev/fd/5'])
      assert.throws(
        () => options({ device: [device], 'on-demand': true }),
        usage(/exclude each other/),
        device,
      );
    assert.throws(() => options({ 'on-demand': [true, true] }), usage(/--on-demand is given twice/));
    assert.equal(options({ 'on-demand': true }).onDemand, true);
    assert.equal('onDemand' in options({}), false);
  });

  it('--muted: black unless --mute-with says otherwise, which means nothing alone', () => {
    assert.throws(() => options({ 'mute-with': 'none' }), usage(/--mute-with says how --muted mutes/));
    assert.throws(() => options({ muted: [true, true] }), usage(/--muted is given twice/));
    assert.equal(options({ muted: true }).muted, 'black');
    assert.equal(options({ muted: true, 'mute-with': 'none' }).muted, 'none');
    assert.equal('muted' in options({}), false);
  });

  it('--approve: quotes keep words together, and nothing else has a meaning', () => {
    assert.deepEqual(options({ approve: `/bin/true 'a b' "$HOME;" c\\ d` }).approve, [
      '/bin/true',
      'a b',
      '$HOME;',
      'c d',
    ]);
    assert.equal('approve' in options({}), false);
  });
});
