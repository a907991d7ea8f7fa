/** Which value holds: defaults, the file from its top to the node, flags. */
import assert from 'node:assert/strict';
import { type Settings, valuesOf } from '../../../src/config/configuration.js';
import { readConfiguration } from '../../../src/config/reading.js';
import { resolved } from '../../../src/config/resolution.js';
import { path, switchKey, text } from './support/keys.js';

const keys = [
  path('device', { isOwn: true }),
  text('size', { default: '1G', rival: 'none' }),
  switchKey('none', { default: false, rival: 'size' }),
  text('owner', { level: 'vm' }),
  text('level', { level: 'process', default: 'info' }),
];
const flagsOf = (values: Record<string, string | boolean>): Settings =>
  new Map(Object.entries(values).map(([name, value]) => [name, { value, origin: 'flag' as const }]));
const read = (top: string, vm = '', node = '', flags: Record<string, string | boolean> = {}) => {
  const yaml = `${top}\nvms:\n  one:\n    ${vm}\n    nodes:\n      - device: /dev/a\n        ${node}\n`;
  const { configuration, faults } = readConfiguration(yaml, keys, () => undefined);
  assert.deepEqual(faults, []);
  return resolved(configuration, keys, flagsOf(flags));
};

describe('config/resolution', () => {
  it('puts every value at its innermost place, defaults included', () => {
    const { settings, vms } = read('size: 2G\nowner: me');
    assert.deepEqual(valuesOf(settings), { level: 'info' });
    assert.deepEqual(valuesOf(vms[0]!.settings), { owner: 'me' });
    assert.deepEqual(valuesOf(vms[0]!.nodes[0]!.settings), { device: '/dev/a', size: '2G', none: false });
  });

  it('the inner value goes before the outer one, and a flag before both; each keeps its origin', () => {
    const size = (...given: Parameters<typeof read>) => read(...given).vms[0]!.nodes[0]!.settings.get('size');
    assert.deepEqual(size(''), { value: '1G', origin: 'default' });
    assert.deepEqual(size('size: 2G'), { value: '2G', origin: { line: 1, column: 1 } });
    assert.deepEqual(size('size: 2G', 'size: 3G'), { value: '3G', origin: { line: 4, column: 5 } });
    assert.deepEqual(size('size: 2G', 'size: 3G', 'size: 4G')!.value, '4G');
    assert.deepEqual(size('', '', 'size: 4G', { size: '5G' }), { value: '5G', origin: 'flag' });
  });

  it('an inner value makes an outer one void that it excludes; in one place they stay, and are refused', () => {
    const node = (...given: Parameters<typeof read>) => {
      const { device: _, ...values } = valuesOf(read(...given).vms[0]!.nodes[0]!.settings);
      return values;
    };
    assert.deepEqual(node('none: true'), { none: true });
    assert.deepEqual(node('none: true', 'size: 2G'), { size: '2G', none: false });
    assert.deepEqual(node('size: 2G', 'none: true'), { none: true });
    assert.deepEqual(node('size: 2G', 'none: false'), { size: '2G', none: false });
    assert.deepEqual(node('size: 2G', '', '', { none: true }), { none: true });
    assert.deepEqual(node('size: 2G\nnone: true'), { size: '2G', none: true });
  });
});
