/** What a node lacks of what a guest was told. The nodes are fakes: they enumerate the formats that they are given. */
import assert from 'node:assert/strict';
import { lackOf } from '../../../src/v4l2/told-node.js';
import { FakeNode } from './fake-node.js';

const CAPTURE = 0x0520_0001;
const OUTPUT = 0x0520_0002;
const node = (deviceCaps: number, deviceType = 0) => ({ deviceCaps, deviceType });

describe('v4l2/told-node', () => {
  /** `types`: the buffer types of the node that have a format. */
  const lack = (told: object, now: object, ...types: number[]) => {
    const formats = Object.fromEntries(types.map((type) => [type, [{ fourcc: 'YUYV' }]]));
    const fake = new FakeNode({ formats });
    return lackOf(told as ReturnType<typeof node>, now as ReturnType<typeof node>, (nr, payload) =>
      fake.ioctl(nr, payload),
    );
  };

  it('is nothing if the node is what it was, or more', async () => {
    assert.equal(await lack(node(CAPTURE), node(CAPTURE)), null);
    assert.equal(await lack(node(CAPTURE), node(CAPTURE | OUTPUT)), null);
  });

  it('is each capability that is missing', async () => {
    const capture = { text: 'VIDEO_CAPTURE', isOutput: false };
    assert.deepEqual(await lack(node(CAPTURE), node(OUTPUT), 2), capture);
    const more = { text: 'VIDEO_CAPTURE STREAMING', isOutput: false };
    assert.deepEqual(await lack(node(CAPTURE), node(0x0120_0000), 1 << 5), more);
  });

  it('is output only, if the node has become a capture device', async () => {
    assert.deepEqual(await lack(node(OUTPUT), node(CAPTURE), 1), { text: 'VIDEO_OUTPUT', isOutput: true });
    assert.equal((await lack(node(OUTPUT), node(1), 1))?.isOutput, false, 'STREAMING too');
  });

  it('is not what the file can do all the same', async () => {
    assert.equal(await lack(node(CAPTURE), node(OUTPUT), 1, 2), null);
    assert.equal(await lack(node(0x0420_8000), node(0x0420_0000), 1, 2), null);
    assert.equal((await lack(node(0x0420_8000), node(0x0420_0000), 1))?.text, 'VIDEO_M2M');
  });

  it('is the type, whatever the node can do', async () => {
    const type = { text: 'the type of node', isOutput: false };
    assert.deepEqual(await lack(node(CAPTURE), node(CAPTURE, 1)), type);
  });
});
