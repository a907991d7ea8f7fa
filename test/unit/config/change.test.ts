/** What differs between two configurations. */
import assert from 'node:assert/strict';
import { changeOf, nameOf, servedOf } from '../../../src/config/change.js';
import { valuesOf } from '../../../src/config/configuration.js';
import { readConfiguration } from '../../../src/config/reading.js';
import { resolved } from '../../../src/config/resolution.js';
import { path, text } from './support/keys.js';

const keys = [
  path('device', { isOwn: true }),
  path('socket-path', { isOwn: true }),
  text('card', { isOwn: true, effect: 'the next VM' }),
  text('size', { effect: 'the next VM' }),
  text('objects', { level: 'vm', effect: 'restart' }),
  text('user', { level: 'process', effect: 'restart' }),
  text('level', { level: 'process', effect: 'now' }),
];
const read = (yaml: string) => {
  const { configuration, faults } = readConfiguration(yaml, keys, () => undefined);
  assert.deepEqual(faults, []);
  return resolved(configuration, keys, new Map());
};
function change(before: string, after: string) {
  const old = read(before);
  return changeOf({ settings: old.settings, nodes: servedOf(old) }, read(after), keys);
}
const node = (device: string, more = '') => `{device: ${device}, socket-path: /s${device}${more}}`;
const file = (nodes: string, more = '', vm = '') =>
  `${more}\nvms:\n  one:\n    ${vm}\n    nodes: [${nodes}]\n`;
const BOTH = `${node('/a')}, ${node('/b')}`;
const changed = ({ keys }: ReturnType<typeof change>) =>
  keys.map(({ of, name, effect }) => [of, name, effect].join('; '));

describe('config/change', () => {
  it('finds nothing between a file and itself, comments and order apart', () => {
    const same = change(
      file(BOTH, 'size: 1G'),
      `# new\n${file(`${node('/b')}, ${node('/a')}`, '', 'size: 1G')}`,
    );
    assert.deepEqual([same.added, same.removed, same.keys], [[], [], []]);
    assert.equal(same.kept.length, 2);
  });

  it('finds nodes that came and went; another device, or another VM, is another node', () => {
    const names = ({ added, removed }: ReturnType<typeof change>) => [added.map(nameOf), removed.map(nameOf)];
    assert.deepEqual(names(change(file(BOTH), file(node('/b')))), [[], ['one: /a']]);
    assert.deepEqual(names(change(file(node('/b')), file(BOTH))), [['one: /a'], []]);
    const moved = file(node('/a')).replace('device: /a', 'device: /c');
    assert.deepEqual(names(change(file(node('/a')), moved)), [['one: /c'], ['one: /a']]);
    const renamed = file(node('/a')).replace('one:', 'two:');
    assert.deepEqual(names(change(file(node('/a')), renamed)), [['two: /a'], ['one: /a']]);
  });

  it('names the keys, of what, and when they hold; a key of a VM once', () => {
    assert.deepEqual(changed(change(file(BOTH), file(BOTH, 'level: debug\nuser: x', 'objects: yes'))), [
      '; user; restart',
      '; level; now',
      'one; objects; restart',
    ]);
    assert.deepEqual(
      changed(change(file(BOTH, 'size: 1G'), file(`${node('/a', ', card: x')}, ${node('/b')}`, 'size: 2G'))),
      ['one: /a; card; the next VM', 'one: /a; size; the next VM', 'one: /b; size; the next VM'],
    );
  });

  it('keeps the old value of a key that needs a restart, so that the next change is compared with it', () => {
    const { kept, settings } = change(
      file(node('/a'), 'user: x\nlevel: info', 'objects: no'),
      file(node('/a', ', card: y'), 'user: z\nlevel: debug', 'objects: yes'),
    );
    assert.deepEqual(valuesOf(settings), { user: 'x', level: 'debug' });
    assert.deepEqual(valuesOf(kept[0]!.after.vm.settings), { objects: 'no' });
    assert.equal(kept[0]!.after.node.settings.get('card')!.value, 'y');
  });
});
