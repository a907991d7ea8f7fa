import assert from 'node:assert/strict';
import { Price, TURN_BYTES, Turn } from '../../../src/virtio/turn.js';

const loop = () => new Promise(setImmediate);

describe('account of a turn', () => {
  let turn: Turn;
  let log: string[];
  beforeEach(() => {
    turn = new Turn();
    log = [];
  });

  /** Works `times` times, each time for `price`. */
  const worker = async (name: string, times: number, price: number) => {
    for (let n = 0; n < times; n++) {
      while (turn.over) await turn.next();
      turn.spend(price);
      log.push(name);
    }
  };

  it('is used up by what is spent, and whole again in a later turn', async () => {
    assert.equal(turn.over, false);
    turn.spend(TURN_BYTES - 1);
    assert.equal(turn.over, false);
    turn.spend(1);
    assert.equal(turn.over, true);
    await turn.next();
    assert.equal(turn.over, false);
  });

  it('a piece costs a page at least', () => {
    for (let n = 1; n < TURN_BYTES / Price.PIECE; n++) turn.spendPiece(1);
    assert.equal(turn.over, false);
    turn.spendPiece(1);
    assert.equal(turn.over, true);
  });

  it('work that fits needs no other turn', async () => {
    await worker('a', 8, TURN_BYTES / 8);
    assert.equal(log.length, 8);
    assert.equal(turn.over, true);
  });

  it('whoever waits longest goes first, and what it leaves is the next one’s', async () => {
    turn.spend(TURN_BYTES);
    const done = [worker('a', 3, TURN_BYTES), worker('b', 2, TURN_BYTES / 2), worker('c', 1, 1)];
    assert.deepEqual(log, []);
    const seen: string[] = [];
    for (let n = 0; n < 6; n++) {
      await loop();
      seen.push(log.splice(0).join(''));
    }
    await Promise.all(done);
    assert.equal(seen.join(''), 'abbcaa');
    assert.ok(
      seen.every((each) => each.length <= 3),
      'all in one turn',
    );
  });

  it('a turn costs nobody an immediate who does not wait for one', async () => {
    turn.spend(TURN_BYTES);
    await loop();
    assert.equal(turn.over, true, 'whole again, though nobody asked');
    await turn.next();
    assert.equal(turn.over, false);
  });
});
