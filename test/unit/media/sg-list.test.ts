import assert from 'node:assert/strict';
import { SgBudget } from '../../../src/media/memory/sg-budget.js';
import { SgList, SgLists } from '../../../src/media/memory/sg-list.js';
import { failure } from '../../../src/result.js';
import { TURN_BYTES, Turn } from '../../../src/virtio/turn.js';

const EINVAL = 22;
type Entry = readonly [start: number, length: number];

function wire(...entries: Entry[]): Buffer {
  const raw = Buffer.alloc(16 * entries.length);
  for (const [n, [start, length]] of entries.entries()) {
    raw.writeBigUInt64LE(BigInt(start), 16 * n);
    raw.writeUInt32LE(length, 16 * n + 8);
    raw.writeUInt32LE(0xdead_beef, 16 * n + 12);
  }
  return raw;
}

describe('SG lists', () => {
  const turn = () => new Turn();
  const entries = (list: SgList): Entry[] =>
    Array.from({ length: list.count }, (_, n) => [list.start(n), list.length(n)]);
  const listOf = (size: number, ...given: Entry[]): SgList => {
    const list = new SgLists(wire(...given), turn()).next(size);
    assert.ok(list instanceof SgList);
    return list;
  };

  it('follow one another: each takes as many entries as cover its bytes', () => {
    const lists = new SgLists(wire([0x1000, 10], [0x2000, 5], [2 ** 40, 7]), turn());
    const [first, none, second] = [lists.next(12), lists.next(0), lists.next(7)];
    assert.deepEqual(entries(first as SgList), [
      [0x1000, 10],
      [0x2000, 5],
    ]);
    assert.deepEqual(entries(none as SgList), []);
    assert.deepEqual(entries(second as SgList), [[2 ** 40, 7]]);
    assert.equal(lists.next(1), failure(EINVAL));
  });

  it('are refused where an entry is empty, no address, or missing', () => {
    for (const given of [[[0x1000, 0]], [[2 ** 53, 4]], [[2 ** 53 - 2, 4]], [[0x1000, 3]], []] as Entry[][])
      assert.equal(new SgLists(wire(...given), turn()).next(4), failure(EINVAL), JSON.stringify(given));
    assert.equal(new SgLists(wire([0x1000, 4]).subarray(0, 15), turn()).next(4), failure(EINVAL));
  });

  it('go on in another turn where they stopped', async () => {
    const account = turn();
    const lists = new SgLists(wire(...Array.from({ length: 65_000 }, (): Entry => [0x1000, 1])), account);
    let turns = 0;
    let list = lists.next(65_000);
    for (; list === null; list = lists.next(65_000)) {
      await account.next();
      turns++;
    }
    assert.equal((list as SgList).count, 65_000);
    assert.ok(turns > 1, `${turns} turns`);
  });

  it('are a view: nothing is built', () => {
    const bytes = wire([0x1000, 10], [0x2000, 5]);
    const list = new SgLists(bytes, turn()).next(15) as SgList;
    bytes.writeUInt32LE(0x3000, 0);
    assert.equal(list.start(0), 0x3000);
  });

  it('are kept in memory of their own, 16 bytes a piece, neighbours joined and the last one cut', async () => {
    const given = wire([0x1000, 10], [0x100a, 5], [0x2000, 5], [0x2000, 3], [2 ** 40 + 3, 0xffff_ffff]);
    const list = new SgLists(given, turn()).next(25) as SgList;
    const kept = await list.joined(turn());
    given.fill(0);
    assert.deepEqual(entries(kept), [
      [0x1000, 15],
      [0x2000, 5],
      [0x2000, 3],
      [2 ** 40 + 3, 2],
    ]);
    assert.deepEqual([kept.size, kept.bytes], [25, 64]);
    assert.equal((await listOf(4096, [0x1000, 2048], [0x1800, 2048]).joined(turn())).count, 1);
  });

  it('are the same where they name the same bytes in the same order, however they are cut', async () => {
    const kept = await listOf(30, [0x1000, 10], [0x2000, 20]).joined(turn());
    const isSame = (...given: Entry[]) =>
      listOf(
        given.reduce((sum, [, length]) => sum + length, 0),
        ...given,
      ).isSame(kept, turn());
    assert.equal(await isSame([0x1000, 10], [0x2000, 20]), true);
    assert.equal(await isSame([0x1000, 4], [0x1004, 6], [0x2000, 1], [0x2001, 19]), true);
    for (const other of [
      [
        [0x1000, 10],
        [0x2000, 19],
      ],
      [
        [0x1000, 10],
        [0x2001, 20],
      ],
      [
        [0x2000, 20],
        [0x1000, 10],
      ],
      [
        [0x1000, 11],
        [0x2001, 19],
      ],
      [[0x1000, 30]],
      [
        [0x1000, 9],
        [0x2000, 20],
        [0x1009, 1],
      ],
    ] as Entry[][])
      assert.equal(await isSame(...other), false, JSON.stringify(other));
  });

  it('cost turns while they are taken over', async () => {
    const account = turn();
    account.spend(TURN_BYTES);
    let isDone = false;
    const joined = listOf(4, [0x1000, 4])
      .joined(account)
      .then(() => {
        isDone = true;
      });
    await Promise.resolve();
    assert.equal(isDone, false);
    await joined;
  });
});

describe('budget of SG lists', () => {
  it('is the session’s and the device’s: what fits neither is not taken', () => {
    const device = new SgBudget(150);
    const [one, other] = [new SgBudget(100, device), new SgBudget(100, device)];
    assert.deepEqual(
      [one.take(101), one.take(100), other.take(60), other.take(50)],
      [false, true, false, true],
    );
    assert.deepEqual([one.used, other.used, device.used], [100, 50, 150]);
    one.giveBack(100);
    assert.deepEqual([device.used, other.take(50), device.used], [50, true, 100]);
  });
});
