/** The arithmetic of the bench: medians, ratios in the same run, and the cells of the table. */
import assert from 'node:assert/strict';
import { figureOf, type Row } from '../../bench/figures.js';
import { type Sample, Samples, spreadOf } from '../../bench/samples.js';
import { cell, tableOf, textTable, threadTableOf } from '../../bench/table.js';

const row: Row = {
  ...{ name: 'G_INPUT, p50', unit: 'us', digits: 1, phase: 'G_INPUT', key: 'p50' },
  floor: { subject: 'hop', phase: 'hop', key: 'p50' },
};

const sample = (run: number, subject: string, phase: string, value: number, key = 'p50'): Sample => ({
  ...{ cores: 1, run, subject, phase, key, value },
});

function samplesOf(...all: readonly Sample[]): Samples {
  const samples = new Samples();
  samples.add(...all);
  return samples;
}

describe('bench: spreads', () => {
  it('have the value in the middle, whatever the order', () => {
    assert.deepEqual(spreadOf([9, 1, 10, 2, 3]), { median: 3, least: 1, greatest: 10 });
  });

  it('have the mean of the two in the middle of an even number', () => {
    assert.deepEqual(spreadOf([4, 1, 2, 100]), { median: 3, least: 1, greatest: 100 });
  });

  it('of one value are that value, of none undefined', () => {
    assert.deepEqual(spreadOf([7]), { median: 7, least: 7, greatest: 7 });
    assert.equal(spreadOf([]), undefined);
  });

  it('do not sort the values of the caller', () => {
    const values = [3, 1, 2];
    spreadOf(values);
    assert.deepEqual(values, [3, 1, 2]);
  });
});

describe('bench: figures', () => {
  it('have ratios to the floor of the same run, and the median of those', () => {
    const samples = samplesOf(
      ...[sample(1, 'hop', 'hop', 10), sample(2, 'hop', 'hop', 1), sample(3, 'hop', 'hop', 5)],
      ...[sample(1, 'ours', 'G_INPUT', 20), sample(2, 'ours', 'G_INPUT', 6)],
      sample(3, 'ours', 'G_INPUT', 15),
    );
    const figure = figureOf(samples, 1, row, 'ours');
    assert.deepEqual(figure?.value, { median: 15, least: 6, greatest: 20 });
    assert.deepEqual(figure?.ratio, { median: 3, least: 2, greatest: 6 });
  });

  it('that are better if they are greater have the ratio of the floor to the value', () => {
    const samples = samplesOf(sample(1, 'hop', 'hop', 100), sample(1, 'ours', 'G_INPUT', 20));
    assert.equal(figureOf(samples, 1, { ...row, inverse: true }, 'ours')?.ratio?.median, 5);
  });

  it('have no ratio to a floor of zero, of another run or of another number of cores', () => {
    const floors = [sample(1, 'hop', 'hop', 0), sample(2, 'hop', 'hop', 5)];
    const samples = samplesOf(
      ...floors,
      { ...sample(1, 'hop', 'hop', 5), cores: 2 },
      sample(1, 'ours', 'G_INPUT', 20),
    );
    assert.equal(figureOf(samples, 1, row, 'ours')?.ratio, undefined);
    assert.equal(figureOf(samples, 1, row, 'ours')?.value.median, 20);
  });

  it('are undefined if nobody measured them', () => {
    assert.equal(figureOf(samplesOf(sample(1, 'ours', 'paced', 20)), 1, row, 'ours'), undefined);
    assert.equal(figureOf(samplesOf(sample(1, 'ours', 'G_INPUT', 20)), 2, row, 'ours'), undefined);
  });
});

describe('bench: tables', () => {
  const figure = (median: number, least: number, greatest: number, ratio?: number) => ({
    value: { median, least, greatest },
    ratio: ratio === undefined ? undefined : { median: ratio, least: ratio, greatest: ratio },
  });

  it('have cells of the median, the least and the greatest, and the ratio', () => {
    assert.equal(cell(figure(71.66, 70.1, 73.25, 14.31), 1), '71.7 (70.1-73.3) x14.3');
    assert.equal(cell(figure(3, 3, 3), 0), '3');
    assert.equal(cell(undefined, 1), '-');
  });

  it('pad every column to its widest cell', () => {
    const text = textTable([
      ['a', 'long head'],
      ['long cell', 'b'],
    ]);
    assert.deepEqual(text.split('\n'), [
      '| a         | long head |',
      '|-----------|-----------|',
      '| long cell | b         |',
    ]);
  });

  it('have the threads of each back-end, the busiest first', () => {
    const threads = (subject: string, main: number, lane: number) => [
      sample(1, subject, 'paced', main + lane, 'cpu'),
      sample(1, subject, 'paced', lane, 'cpu.vmb-lane'),
      sample(1, subject, 'paced', main, 'cpu.main'),
    ];
    const samples = samplesOf(...threads('ours qemu', 40, 5), ...threads('peer qemu', 9, 0.01));
    assert.match(threadTableOf(samples, 1), /\| every 2 ms +\| main 40\.0, vmb-lane 5\.0 \| main 9\.0/);
    assert.equal(threadTableOf(samples, 2), '');
  });

  it('have a column for each subject and the floor, and no row that nobody measured', () => {
    const samples = samplesOf(
      ...[sample(1, 'hop', 'hop', 5), sample(1, 'lane hop', 'hop-lane', 15)],
      ...[sample(1, 'native', 'EXT_CTRLS', 0.5), sample(1, 'ours qemu', 'EXT_CTRLS', 80)],
      sample(1, 'ours qemu', 'G_INPUT', 60),
    );
    assert.deepEqual(
      tableOf(samples, 1)
        .split('\n')
        .map((line) => line.split('|').map((each) => each.trim())),
      [
        ['', 'one core', 'floor', 'native', 'ours qemu', ''],
        ...[tableOf(samples, 1).split('\n')[1]!.split('|')],
        ['', 'G_INPUT, p50, us', '5.0', '-', '60.0 x12.0', ''],
        ['', 'EXT_CTRLS, p50, us', '5.0', '0.5 x0.10', '80.0 x16.0', ''],
      ],
    );
  });
});
