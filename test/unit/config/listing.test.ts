/** A configuration as text and as JSON. */
import assert from 'node:assert/strict';
import { servedOf } from '../../../src/config/change.js';
import { valuesOf } from '../../../src/config/configuration.js';
import { listingOf, yamlOf } from '../../../src/config/listing.js';
import { readConfiguration } from '../../../src/config/reading.js';
import { resolved } from '../../../src/config/resolution.js';
import { list, path, switchKey, text } from './support/keys.js';

const keys = [
  path('device', { isOwn: true }),
  text('card', { isOwn: true, unset: 'its own' }),
  { ...text('count', { default: '3' }), kind: 'count' as const },
  switchKey('wait', { default: false }),
  text('mode', { level: 'vm', unset: '0600' }),
  list('users', { level: 'vm' }),
  text('level', { level: 'process', default: 'info' }),
];
const yaml = `mode: 0660
vms:
  one:
    users: [a, "0", yes]
    nodes:
      - {device: /dev/a, card: "# no: 'comment'", count: 12}
      - {device: /dev/b}
`;
const read = (from: string) => {
  const { configuration, faults } = readConfiguration(from, keys, () => undefined);
  assert.deepEqual(faults, []);
  return resolved(configuration, keys, new Map([['level', { value: 'debug', origin: 'flag' }]]));
};
const values = (from: string) => {
  const configuration = read(from);
  return servedOf(configuration).map(({ vm, node }) => ({
    ...valuesOf(vm.settings),
    ...valuesOf(node.settings),
  }));
};

describe('config/listing', () => {
  it('is YAML that reads as the same configuration', () => {
    const shown = yamlOf(read(yaml), keys, '/etc/c.yaml');
    assert.deepEqual(values(shown), values(yaml));
    assert.equal(values(shown)[0]!.card, "# no: 'comment'");
  });

  it('says behind each value where it is from, and what holds for a key without one', () => {
    const lines = yamlOf(read(yaml), keys, '/etc/c.yaml').split('\n');
    for (const line of [
      'level: debug # flag',
      '    mode: "0660" # /etc/c.yaml:1',
      '        count: 12 # /etc/c.yaml:6',
      '        count: 3 # default',
      '        wait: false # default',
      '        # card: its own',
    ])
      assert.ok(lines.includes(line), `${line} is not in\n${lines.join('\n')}`);
  });

  it('as JSON has every key, null if it has no value', () => {
    const { settings, vms } = listingOf(read(yaml), keys, '/etc/c.yaml');
    assert.deepEqual(settings, { level: { value: 'debug', from: 'flag' } });
    assert.deepEqual(vms.one!.settings, {
      mode: { value: '0660', from: '/etc/c.yaml:1' },
      users: { value: ['a', '0', 'yes'], from: '/etc/c.yaml:4' },
    });
    assert.deepEqual(vms.one!.nodes[1], {
      device: { value: '/dev/b', from: '/etc/c.yaml:7' },
      card: { value: null, from: 'default' },
      count: { value: '3', from: 'default' },
      wait: { value: false, from: 'default' },
    });
  });
});
