/** The options of the bench, and what it refuses; the texts of other programs that it reads. */
import assert from 'node:assert/strict';
import { subjectsOf } from '../../bench/bench.js';
import { optionsOf, UsageError } from '../../bench/options.js';
import { processorsOf } from '../../bench/processors.js';
import { callsIn } from '../../bench/system-calls.js';

const PEER = ['--peer', "peer --node '@DEVICE@' --socket @SOCKET@"];

describe('bench: options', () => {
  it('are five runs of both VMMs on one core and on two', () => {
    const { runs, vmms, cores, peer, quick } = optionsOf([])!;
    assert.deepEqual(
      { runs, vmms, cores, peer, quick },
      {
        ...{ runs: 5, vmms: ['qemu', 'crosvm'], cores: [1, 2], peer: undefined, quick: false },
      },
    );
  });

  it('are one short run with --quick', () => {
    const [quick, whole] = [optionsOf(['--quick'])!, optionsOf([])!];
    assert.equal(quick.runs, 1);
    assert.deepEqual(
      quick.phases.map((each) => each.split('=')[0]),
      whole.phases.map((each) => each.split('=')[0]),
    );
  });

  it('split the command of a peer as a shell does', () => {
    const { peer } = optionsOf([...PEER, '--peer-name', 'other', '--peer-vmm', 'crosvm'])!;
    assert.deepEqual(peer, {
      name: 'other',
      command: ['peer', '--node', '@DEVICE@', '--socket', '@SOCKET@'],
      vmms: ['crosvm'],
      echo: true,
    });
  });

  it('let a peer have no echo of its mappings', () => {
    const { peer } = optionsOf([...PEER, '--peer-vmm', 'qemu', '--peer-no-echo'])!;
    assert.equal(peer?.echo, false);
    const manners = subjectsOf({ vmms: ['qemu'], peer }).map(({ manner }) => manner);
    assert.deepEqual(manners, [{ vmm: 'qemu' }, { vmm: 'qemu', echo: false }]);
  });

  it('measure ours before the peer, VMM by VMM', () => {
    const names = (...words: readonly string[]) => subjectsOf(optionsOf(words)!).map(({ name }) => name);
    assert.deepEqual(names(...PEER), ['ours qemu', 'peer qemu', 'ours crosvm', 'peer crosvm']);
    assert.deepEqual(names(...PEER, '--vmm', 'crosvm', '--peer-vmm', 'qemu'), ['ours crosvm', 'peer qemu']);
  });

  it('ask for help', () => {
    assert.equal(optionsOf(['--help']), undefined);
  });

  const refused: readonly (readonly [string, readonly string[]])[] = [
    ["Unknown option '--bogus'", ['--bogus']],
    ["Unexpected argument 'word'", ['word']],
    ['--runs 0', ['--runs', '0']],
    ['--runs 1.5', ['--runs', '1.5']],
    ['--runs many', ['--runs', 'many']],
    ['--vmm xen: it is one of qemu, crosvm', ['--vmm', 'xen']],
    ['--cores 3: it is one of 1, 2', ['--cores', '3']],
    ['--phases G_INPUT:', ['--phases', 'G_INPUT']],
    ['--phases G_INPUT=0:', ['--phases', 'warm=1 G_INPUT=0']],
    ['--phases reboot=1:', ['--phases', 'reboot=1']],
    ['--peer: the command needs @SOCKET@', ['--peer', 'peer --node @DEVICE@']],
    ["--peer ': ", ['--peer', "'"]],
    ['--peer-name a b', [...PEER, '--peer-name', 'a b']],
    ['--peer-name is of use only with --peer', ['--peer-name', 'other']],
    ['--json is of no use with --growth', ['--growth', '--json', 'file']],
    ['--peer-no-echo is of use only with --peer', ['--peer-no-echo']],
    ['--peer-vmm is of use only with --peer', ['--peer-vmm', 'qemu']],
  ];
  for (const [sentence, words] of refused)
    it(`refuse ${words.join(' ')}`, () => {
      assert.throws(
        () => optionsOf(words),
        (error: Error) => error instanceof UsageError && error.message.startsWith(sentence),
      );
    });
});

describe('bench: what it reads', () => {
  it('is the list of processors that the kernel allows', () => {
    assert.deepEqual(processorsOf('0-2,5'), [0, 1, 2, 5]);
    assert.deepEqual(processorsOf('7'), [7]);
  });

  it("is strace's table, whose total is no call", () => {
    const table = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000030           3        10           write
 40.00    0.000020           2         7         2 read
------ ----------- ----------- --------- --------- ----------------
100.00    0.000050           2        17         2 total
`;
    assert.equal(callsIn(table), 17);
    assert.equal(callsIn(''), 0);
  });
});
