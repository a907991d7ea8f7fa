/** Messages that wait in the socket while an earlier one is being handled. */
import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import { native } from '../../../src/native.js';
import { Connection, type Message } from '../../../src/vhost-user/connection.js';
import { settle, until } from '../../support/until.js';
import { openDescriptors, Wire, withoutLog } from './support/vmm.js';

describe('vhost-user connection while a message is being handled', () => {
  withoutLog();
  let wire: Wire;
  let connection: Connection;
  let received: Message[];
  let ends: (Error | null)[];
  let before: number;
  let onMessage: () => void | Promise<void>;
  let over: (error?: Error) => void;

  beforeEach(() => {
    before = openDescriptors();
    received = [];
    ends = [];
    onMessage = () =>
      new Promise<void>((resolve, reject) => {
        over = (error) => (error ? reject(error) : resolve());
      });
    const [ours, theirs] = native.socketPair();
    wire = new Wire(ours);
    connection = new Connection({
      fd: theirs,
      carries: 'requests',
      onMessage: (got) => {
        received.push(got);
        return onMessage();
      },
      onEnd: (error) => ends.push(error),
    });
  });

  afterEach(() => {
    connection.close();
    wire.close();
    assert.equal(openDescriptors(), before, 'descriptors leaked');
  });

  it('reads no other one, and sends all the same', async () => {
    for (const request of [1, 2, 3]) wire.send(request, 1);
    await until(() => received.length === 1);
    await settle();
    assert.equal(received.length, 1);
    assert.equal(connection.send(9, 4, Buffer.alloc(8)), 0);
    assert.equal((await wire.next()).request, 9);
    over();
    await until(() => received.length === 2);
    onMessage = () => {};
    over();
    await until(() => received.length === 3);
    assert.deepEqual(
      received.map(({ request }) => request),
      [1, 2, 3],
    );
  });

  it('the peer may go: that is heard afterwards', async () => {
    wire.send(1, 1);
    await until(() => received.length === 1);
    wire.close();
    wire = new Wire(openSync('/dev/null', 'r'));
    await settle();
    assert.deepEqual(ends, []);
    over();
    await until(() => ends.length === 1);
    assert.deepEqual(ends, [null]);
  });

  it('it may fail: the connection ends', async () => {
    wire.send(1, 1);
    await until(() => received.length === 1);
    over(new TypeError('a bug'));
    await until(() => ends.length === 1);
    assert.equal(ends[0]?.message, 'a bug');
  });

  it('the connection may be closed', async () => {
    wire.send(1, 1);
    await until(() => received.length === 1);
    connection.close();
    over();
    await settle();
    assert.deepEqual(ends, []);
  });
});
