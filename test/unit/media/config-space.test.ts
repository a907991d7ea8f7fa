/** What a guest is told of a node that changes, over the lives of its driver. */
import assert from 'node:assert/strict';
import { ConfigSpace, type PresentNode } from '../../../src/media/config-space.js';
import type { NodeDescription } from '../../../src/v4l2/description.js';

const CAPTURE = 0x0400_0001;
const OUTPUT = 0x0400_0002;
const READWRITE = 0x0100_0000;
const described = (deviceCaps: number): NodeDescription => ({
  driver: 'v4l2 loopback',
  card: 'a',
  busInfo: '',
  deviceCaps,
  deviceType: 0,
});

/** A node that is what the test says. `looks`: how often it was looked at. */
class FakeNode implements PresentNode {
  looks = 0;
  pending: Promise<void> | null = null;
  constructor(public description: NodeDescription) {}
  become(deviceCaps: number): void {
    this.description = described(deviceCaps);
  }
  refresh(): Promise<void> {
    this.looks++;
    return Promise.resolve();
  }
}

describe('media/config-space', () => {
  let node: FakeNode;
  let space: ConfigSpace;
  const caps = () => Buffer.from(space.read()).readUInt32LE(0);

  beforeEach(() => {
    node = new FakeNode(described(OUTPUT));
    space = new ConfigSpace(described(OUTPUT), node);
  });

  it('is the node as described if nobody looks at it', () => {
    space = new ConfigSpace(described(CAPTURE));
    assert.equal(caps(), CAPTURE);
    assert.equal(space.refresh(), null);
    assert.equal(space.told.deviceCaps, CAPTURE);
  });

  it('has the name that the operator gives, whatever the node becomes', () => {
    space = new ConfigSpace(described(OUTPUT), node, 'Küche 📷');
    const name = () => Buffer.from(space.read()).subarray(8).toString().replaceAll('\0', '');
    assert.deepEqual([name(), caps()], ['Küche 📷', OUTPUT]);
    node.become(CAPTURE);
    assert.deepEqual([name(), caps()], ['Küche 📷', CAPTURE]);
    space.started();
    assert.equal(name(), 'Küche 📷');
    assert.equal(node.description.card, 'a');
  });

  it('is the node as it is now, before a driver has the device', () => {
    assert.equal(caps(), OUTPUT);
    node.become(CAPTURE);
    assert.ok(space.refresh());
    assert.equal(node.looks, 1);
    assert.equal(caps(), CAPTURE);
  });

  it('stays what a driver read at its probe, and makes it wait for nothing', () => {
    caps();
    space.started();
    node.become(CAPTURE);
    assert.equal(caps(), OUTPUT);
    assert.equal(space.told.deviceCaps, OUTPUT);
    assert.equal(space.refresh(), null);
    assert.equal(node.looks, 0);
  });

  it('is what was read last, although the node has changed before the driver was ready', () => {
    caps();
    node.become(CAPTURE);
    space.started();
    assert.equal(space.told.deviceCaps, OUTPUT);
  });

  it('stays over a pause, also if the node changes meanwhile', () => {
    caps();
    space.started();
    space.used();
    space.stopped();
    node.become(CAPTURE);
    space.started();
    assert.equal(caps(), OUTPUT);
    space.stopped();
    space.started();
    assert.equal(space.told.deviceCaps, OUTPUT);
  });

  it('is read anew after a reset, and looked at when the queues stop', () => {
    caps();
    space.started();
    space.used();
    space.stopped();
    assert.equal(node.looks, 1);
    node.become(CAPTURE);
    assert.equal(caps(), CAPTURE);
    space.reset();
    space.started();
    assert.equal(caps(), CAPTURE);
    assert.equal(space.told.deviceCaps, CAPTURE);
  });

  it('is read anew by a driver whose reset does not show, because it reads', () => {
    caps();
    space.started();
    space.used();
    space.stopped();
    node.become(CAPTURE);
    caps();
    space.started();
    assert.equal(space.told.deviceCaps, CAPTURE);
  });

  it('of a driver that reads late is the node of that moment', async () => {
    space.started();
    node.become(CAPTURE);
    node.pending = Promise.resolve();
    assert.ok(space.refresh(), 'a look that is under way');
    assert.equal(node.looks, 0);
    assert.equal(caps(), CAPTURE);
    node.become(OUTPUT);
    assert.equal(caps(), CAPTURE);
  });

  it('of a driver that has sent nothing is not kept', () => {
    space.started();
    assert.equal(caps(), OUTPUT);
    space.stopped();
    node.become(CAPTURE);
    space.started();
    assert.equal(caps(), CAPTURE);
  });

  it('what a guest was told has no capabilities that it does not see', () => {
    node.become(CAPTURE | READWRITE);
    caps();
    assert.equal(space.told.deviceCaps, CAPTURE);
  });
});
