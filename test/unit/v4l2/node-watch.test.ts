/** Looks at a node that changes, hangs, or stays what it is. The node is a fake: it says what the test tells it. */
import assert from 'node:assert/strict';
import { Errno } from '../../../src/errno.js';
import { failure, type Result } from '../../../src/result.js';
import type { NodeDescription } from '../../../src/v4l2/description.js';
import type { HostNode } from '../../../src/v4l2/node.js';
import { NodeWatch } from '../../../src/v4l2/node-watch.js';
import { settle } from '../../support/until.js';
import { pass, startClock, stopClock } from '../media/clock.js';

const CAPTURE = 0x0400_0001;
const OUTPUT = 0x0400_0002;
const described = (deviceCaps: number): NodeDescription => ({
  driver: 'v4l2 loopback',
  card: 'a',
  busInfo: '',
  deviceCaps,
  deviceType: 0,
});

class FakeNode {
  readonly path = '/dev/video0';
  looks = 0;
  answer: Promise<Result<NodeDescription>> = Promise.resolve(described(OUTPUT));
  location = { isVirtual: true, isCurrent: () => this.isCurrent, follow: async () => undefined };
  isCurrent = true;

  become(deviceCaps: number): void {
    this.answer = Promise.resolve(described(deviceCaps));
  }
  look(): Promise<Result<NodeDescription>> {
    this.looks++;
    return this.answer;
  }
  watch(waits = false): NodeWatch {
    return new NodeWatch(this as unknown as HostNode, described(OUTPUT), waits);
  }
}

describe('v4l2/node-watch', () => {
  let node: FakeNode;
  beforeEach(() => {
    node = new FakeNode();
  });
  afterEach(startClock);

  it('sees what a virtual node has become', async () => {
    const watch = node.watch();
    assert.equal(watch.description.deviceCaps, OUTPUT);
    node.become(CAPTURE);
    await watch.refresh();
    assert.equal(watch.description.deviceCaps, CAPTURE);
    assert.equal(watch.waitsForProducer, false);
  });

  it('does not open a device that is where it was, and does if it was registered anew', async () => {
    const watch = node.watch();
    node.location.isVirtual = false;
    await watch.refresh();
    assert.equal(node.looks, 0);
    node.isCurrent = false;
    node.become(CAPTURE);
    await watch.refresh();
    assert.equal(watch.description.deviceCaps, CAPTURE);
  });

  it('keeps what it knows of a node that cannot be asked', async () => {
    const watch = node.watch();
    node.answer = Promise.resolve(failure(Errno.ENODEV));
    await watch.refresh();
    assert.equal(watch.description.deviceCaps, OUTPUT);
  });

  it('makes nobody wait for a node that hangs, and takes its answer when it comes', async () => {
    const watch = node.watch();
    let answer = (_: NodeDescription) => {};
    node.answer = new Promise((resolve) => {
      answer = resolve;
    });
    stopClock();
    const first = watch.refresh();
    assert.equal(watch.refresh(), first, 'one look at a time');
    pass(50);
    await first;
    assert.equal(watch.refresh(), null);
    assert.equal(watch.pending, null);
    assert.equal(node.looks, 1);
    answer(described(CAPTURE));
    await new Promise(setImmediate);
    assert.equal(watch.description.deviceCaps, CAPTURE);
    assert.ok(watch.refresh());
  });

  it('waits for a producer', async () => {
    stopClock();
    const watch = node.watch(true);
    let has: boolean | undefined;
    const waiting = watch.producer().then((result) => {
      has = result;
    });
    pass(250);
    await settle();
    assert.deepEqual([node.looks, has], [1, undefined]);
    node.become(CAPTURE);
    pass(250);
    await waiting;
    assert.equal(has, true);
  });

  it('waits no longer when it is closed', async () => {
    const watch = node.watch(true);
    const waiting = watch.producer();
    watch.close();
    assert.equal(await waiting, false);
  });

  it('that waits shows the node as it was with its last producer', async () => {
    const watch = node.watch(true);
    node.become(CAPTURE);
    await watch.refresh();
    node.become(OUTPUT);
    await watch.refresh();
    assert.equal(watch.description.deviceCaps, CAPTURE);
  });

  it('has nothing to wait for if a device is behind the node', async () => {
    node.location.isVirtual = false;
    assert.equal(node.watch(true).waitsForProducer, false);
    assert.equal(await node.watch(true).producer(), true);
  });
});
