import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type NodeCall, NodeEvents, native } from '../../src/native.js';
import { Fifo } from './support/fifo.js';
import { close, fileMaker, open, submit } from './support/node-file.js';
import { descriptorsOn, eventually } from './support/process.js';

describe('addon: readiness of a NodeFile', () => {
  const create = fileMaker();

  let fifo: Fifo;
  beforeEach(() => {
    fifo = new Fifo();
  });
  afterEach(() => fifo.close());

  it('is reported once an edge, for what is watched', async () => {
    const seen: number[] = [];
    const file = create((events) => seen.push(events));
    assert.equal(await open(file, fifo.path), 0);
    fifo.signal();
    await sleep(20);
    assert.deepEqual(seen, []);
    assert.equal(await submit(file, { kind: 'watch', events: NodeEvents.IN }), 0);
    assert.ok(await eventually(() => seen.length === 1));
    await sleep(20);
    assert.deepEqual(seen, [NodeEvents.IN]);
    fifo.signal();
    assert.ok(await eventually(() => seen.length === 2));
    assert.equal(await submit(file, { kind: 'watch', events: NodeEvents.PRI }), 0);
    fifo.signal();
    await sleep(20);
    assert.equal(seen.length, 2);
    await close(file);
  });

  it('comes after the completions that were there before it', async () => {
    const order: string[] = [];
    const file = create(() => order.push('ready'));
    file.open(fifo.path, () => order.push('open'));
    file.submit({ kind: 'watch', events: NodeEvents.OUT }, () => order.push('watch'));
    assert.ok(await eventually(() => order.length === 3));
    assert.deepEqual(order, ['open', 'watch', 'ready']);
    await close(file);
  });

  it('is silent after close was called', async () => {
    let isClosing = false;
    let late = 0;
    const file = create(() => {
      if (isClosing) late++;
    });
    assert.equal(await open(file, fifo.path), 0);
    // The FIFO is writable, so readiness may be reported before close() is called, but not afterwards.
    const closed = new Promise<void>((resolve) =>
      file.submit({ kind: 'watch', events: NodeEvents.IN | NodeEvents.OUT }, () => {
        isClosing = true;
        file.close(resolve);
      }),
    );
    fifo.signal();
    await closed;
    fifo.signal();
    await sleep(10);
    assert.equal(late, 0);
  });

  it('is told at once by poll, which does not ask for data', async () => {
    const file = create();
    assert.equal(await open(file, fifo.path), 0);
    fifo.signal();
    const call: NodeCall & { kind: 'poll' } = { kind: 'poll' };
    assert.equal(await submit(file, call), 0);
    // A hang-up, which only a device has, is seen in test/lab/rebind.test.ts.
    assert.equal(call.ready, 0);
  });

  it('ends with the file even where others hold the descriptor', async () => {
    let calls = 0;
    const file = create(() => calls++);
    assert.equal(await open(file, fifo.path), 0);
    const [held] = descriptorsOn(fifo.path).filter((fd) => fd !== fifo.fd);
    const [a, b] = native.socketPair();
    assert.equal(native.send(a, Buffer.from('x'), [held!]), 1);
    assert.equal(await submit(file, { kind: 'watch', events: NodeEvents.IN }), 0);
    fifo.signal();
    assert.ok(await eventually(() => calls === 1));
    await close(file);
    fifo.signal();
    await sleep(10);
    assert.equal(calls, 1);
    // Until here the message on its way has held the open file.
    for (const fd of [a, b]) closeSync(fd);
  });
});
