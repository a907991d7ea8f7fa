/** What is wrong with a configuration, and where: every kind of fault. */
import assert from 'node:assert/strict';
import { readConfiguration } from '../../../src/config/reading.js';
import { choice, list, path, switchKey, text, words } from './support/keys.js';

const keys = [
  path('device', { isOwn: true }),
  path('socket-path', { isOwn: true }),
  { ...path('device-fd', { isOwn: true }), kind: 'descriptor' as const },
  { ...path('fd', { isOwn: true }), kind: 'descriptor' as const },
  text('card', { isOwn: true }),
  text('shm-size'),
  switchKey('wait'),
  choice('mmap', ['auto', 'arena', 'direct']),
  words('deny-formats'),
  list('allow-uid', { level: 'vm' }),
  { ...text('socket-mode', { level: 'vm' }), kind: 'mode' as const },
  text('user', { level: 'process' }),
];
const judge = (key: { name: string }, value: unknown) =>
  value === 'bad' ? `${key.name} must be good, not bad` : undefined;
const faultsOf = (yaml: string) =>
  readConfiguration(yaml, keys, judge).faults.map(
    ({ line, column, sentence }) => `${line}:${column} ${sentence}`,
  );

const NODE = '      - {device: /dev/a, socket-path: /a}\n';
const vm = (more = '', nodes = NODE) => `vms:\n  one:\n${more}    nodes:\n${nodes}`;
/** A file with one node that has this too. */
const inNode = (more: string) => vm('', `      - device: /dev/a\n        socket-path: /a\n        ${more}\n`);

//  text of the file, and the beginning of each fault
const faulty: readonly (readonly [name: string, yaml: string, ...faults: string[]])[] = [
  ['nothing', '', '1:1 a configuration must be a map'],
  ['a comment', '# nothing\n', '1:1 a configuration must be a map'],
  ['a word', 'word', '1:1 a configuration must be a map'],
  ['a list', '- a\n', '1:1 a configuration must be a map'],
  ['no VMs', 'user: x\n', '1:1 vms is missing'],
  ['an empty map of VMs', 'vms: {}\n', '1:1 vms has no VM'],
  ['VMs without a value', 'vms:\n', '1:5 vms must be a map'],
  ['a list of VMs', 'vms: [a]\n', '1:6 vms must be a map'],
  ['a VM without nodes', 'vms:\n  one: {}\n', '2:3 nodes is missing: the VM one has none'],
  ['an empty list of nodes', 'vms:\n  one:\n    nodes: []\n', '3:5 nodes has no node'],
  ['a map of nodes', 'vms:\n  one:\n    nodes: {a: 1}\n', '3:12 nodes must be a list'],
  ['a node that is a word', vm('', '      - /dev/a\n'), '4:9 a node must be a map', '4:9 device is missing'],
  ['a VM with a space in its name', `vms:\n  a b: {nodes: []}\n`, '2:3 the name of a VM'],
  ['a VM that begins with a dash', `vms:\n  -a: {nodes: []}\n`, '2:3 the name of a VM'],
  ['an unknown key', inNode('frobnicate: 1'), '6:9 there is no key frobnicate'],
  ['a key with a wrong letter', inNode('mmpa: auto'), '6:9 there is no key mmpa: did you mean mmap?'],
  [
    'a key with an underscore',
    inNode('shm_size: 1G'),
    '6:9 there is no key shm_size: did you mean shm-size?',
  ],
  ['a key in camel case', inNode('shmSize: 1G'), '6:9 there is no key shmSize: did you mean shm-size?'],
  ['a key with dashes of a flag', inNode('--wait: true'), '6:9 there is no key --wait: did you mean wait?'],
  [
    'vm in the place of vms',
    'vm:\n  one: {}\n',
    '1:1 vms is missing',
    '1:1 there is no key vm: did you mean vms?',
  ],
  ['a key of a VM in a node', inNode('allow-uid: 1'), '6:9 allow-uid is a key of a VM, not of a node'],
  ['a key of the top in a VM', vm('    user: x\n'), '3:5 user is a key of the top of the file, not of a VM'],
  [
    'a key of a node alone at the top',
    `card: x\n${vm()}`,
    '1:1 card is a key of a node, not of the top of the file',
  ],
  ['nodes at the top', `nodes: []\n${vm()}`, '1:1 nodes is a key of a VM, not of the top of the file'],
  ['a key twice', inNode('wait: true\n        wait: true'), '7:9 map keys must be unique'],
  [
    'a switch with a word of YAML 1.1',
    inNode('wait: yes'),
    '6:15 wait must be true or false, not yes: did you mean true?',
  ],
  ['a switch with a number', inNode('wait: 7'), '6:15 wait must be true or false, not 7'],
  ['a switch with a map', inNode('wait: {}'), '6:15 wait must be a single value'],
  [
    'a choice',
    inNode('mmap: aren'),
    '6:15 mmap must be one of auto, arena, direct, not aren: did you mean arena?',
  ],
  [
    'a choice that resembles none',
    inNode('mmap: zzz'),
    '6:15 mmap must be one of auto, arena, direct, not zzz',
  ],
  ['no value', inNode('shm-size:'), '6:18 shm-size has no value'],
  ['null', inNode('shm-size: null'), '6:19 shm-size has no value'],
  ['a tilde', inNode('shm-size: ~'), '6:19 shm-size has no value'],
  ['what the flag refuses', inNode('shm-size: bad'), '6:19 shm-size must be good, not bad'],
  [
    'what the flag refuses in a list',
    inNode('deny-formats: [a, bad]'),
    '6:27 deny-formats must be good, not bad',
  ],
  ['an empty list', inNode('deny-formats: []'), '6:23 deny-formats has no value'],
  ['a list in a list', inNode('deny-formats: [[a]]'), '6:24 deny-formats must be a single value'],
  ['a list for a single value', inNode('shm-size: [1G]'), '6:19 shm-size must be a single value'],
  [
    'a relative path',
    vm('', '      - {device: video0, socket-path: /a}\n'),
    '4:18 device must be a path that begins with /, not video0',
    '4:9 device is missing',
  ],
  [
    'a descriptor of the three',
    vm('', '      - {device-fd: 2, socket-path: /a}\n'),
    '4:9 device is missing',
    '4:21 device-fd must be the number of an inherited descriptor',
  ],
  ['a mode of two digits', vm('    socket-mode: 66\n'), '3:18 socket-mode must be three octal digits'],
  ['no device', vm('', '      - socket-path: /a\n'), '4:9 device is missing: name a node'],
  ['two kinds of device', inNode('device-fd: 5'), '6:9 device and device-fd exclude each other'],
  ['two kinds of socket', inNode('fd: 5'), '6:9 socket-path and fd exclude each other'],
  [
    'a socket for one node of two',
    vm('', `${NODE}      - device: /dev/b\n`),
    '5:9 socket-path is missing: other nodes',
  ],
  [
    'a socket twice',
    vm('', `${NODE}      - {device: /dev/b, socket-path: /x/../a}\n`),
    '5:26 socket-path /x/../a is in line 4 already',
  ],
  ['a socket in two VMs', `${vm()}  two:\n    nodes:\n${NODE}`, '7:26 socket-path /a is in line 4 already'],
  ['an alias of nothing', inNode('card: *none'), '6:15 there is no anchor &none before this alias'],
  [
    'an alias of a later anchor',
    vm('    socket-mode: *later\n', '      - {device: &later /dev/a, socket-path: /a}\n'),
    '3:18 there is no anchor &later before',
  ],
  ['a tag of another language', inNode('card: !!js/function x'), '6:15 unresolved tag'],
  ['two documents', `${vm()}---\n${vm()}`, '5:1 source contains multiple documents'],
  ['a tab', 'vms:\n\tone: 1\n', '2:1 tabs are not allowed'],
  ['a bracket that does not end', 'vms: [a\n', '2:1 flow sequence in block collection must be'],
  ['a quote that does not end', 'user: "a\n', '2:1 missing closing "quote'],
  ['an escape sequence', inNode('card: "a\\e[2Jb"'), '6:15 card has characters that cannot be shown'],
  ['a key of two lines', inNode('? "a\\nb"\n        : 1'), '6:11 there is no key a?b'],
  ['a key that is a map', inNode('? {a: b}\n        : c'), '6:11 a key must be a word'],
];

describe('config/reading', () => {
  for (const [name, yaml, ...faults] of faulty)
    it(`says what is wrong, and where: ${name}`, () => {
      const found = faultsOf(yaml);
      assert.equal(found.length, faults.length, found.join('\n'));
      for (const fault of faults)
        assert.ok(
          found.some((each) => each.startsWith(fault)),
          `${fault} is not in\n${found.join('\n')}`,
        );
    });

  it('tells every fault, in the order of the file', () => {
    const yaml = `${vm('    socket-mode: 9\n', '      - {card: ~, socket-path: a}\n')}usre: x\n`;
    assert.deepEqual(
      faultsOf(yaml).map((fault) => fault.split(' ')[0]),
      ['3:18', '5:9', '5:16', '5:32', '6:1'],
    );
  });

  it('ends on aliases of aliases, on thousands of brackets, and on thousands of keys', () => {
    const many = Array.from(
      { length: 9 },
      (_, n) => `v${n + 1}: &v${n + 1} {nodes: [${'*n,'.repeat(999)}*n]}`,
    );
    const bomb = `vms:\n  v0: {nodes: [&n {device: /dev/a}]}\n${many.map((line) => `  ${line}\n`).join('')}`;
    const wide = bomb.replaceAll('device: /dev/a', `device: /dev/a, deny-formats: [${'a,'.repeat(999)}a]`);
    const started = performance.now();
    assert.ok(faultsOf(wide).some((fault) => fault.endsWith('the configuration is too large')));
    assert.equal(faultsOf('['.repeat(100_000)).length > 0, true);
    assert.ok(faultsOf(Array.from({ length: 5000 }, (_, n) => `k${n}: 1\n`).join('')).length > 5000);
    assert.ok(performance.now() - started < 15_000);
  });

  it('reads what is right: texts as they are written, switches, lists, and aliases', () => {
    const yaml = [
      'vms:',
      '  one:',
      '    allow-uid: 0',
      '    socket-mode: 0660',
      '    nodes:',
      '      - device: /dev/a',
      '        socket-path: /a',
      '        card: &name "017 Büro"',
      '        deny-formats: [AAAA, BBBB]',
      '        wait: false',
      '      - {device: /dev/b, socket-path: /b, card: *name, shm-size: 65536, deny-formats: A}',
    ].join('\n');
    const { configuration, faults } = readConfiguration(yaml, keys, judge);
    assert.deepEqual(faults, []);
    const [one] = configuration.vms;
    const plain = (settings: ReadonlyMap<string, { value: unknown }>) =>
      Object.fromEntries([...settings].map(([name, { value }]) => [name, value]));
    assert.deepEqual(plain(one!.settings), { 'allow-uid': ['0'], 'socket-mode': '0660' });
    assert.deepEqual(
      one!.nodes.map(({ settings }) => plain(settings)),
      [
        { device: '/dev/a', 'socket-path': '/a', card: '017 Büro', 'deny-formats': 'AAAA,BBBB', wait: false },
        { device: '/dev/b', 'socket-path': '/b', card: '017 Büro', 'shm-size': '65536', 'deny-formats': 'A' },
      ],
    );
    assert.deepEqual(one!.settings.get('socket-mode')!.origin, { line: 4, column: 5 });
  });

  it('needs no socket if no node of a VM has one: systemd passes them', () => {
    assert.deepEqual(faultsOf(vm('', '      - device: /dev/a\n      - device: /dev/b\n')), []);
  });
});
