/** The survey of fake nodes. */
import assert from 'node:assert/strict';
import type { HostNodeEntry } from '../../../src/v4l2/discovery.js';
import { type Depth, type Survey, surveyNode } from '../../../src/v4l2/survey.js';
import { EACCES, EBUSY, ENOTTY, type FakeDescription, FakeNode } from './fake-node.js';

const CAPTURE_STREAMING = 0x04200001;
const MMAP_USERPTR_DMABUF = 0x07;

const node: HostNodeEntry = {
  name: 'video0',
  path: '/dev/video0',
  class: 'video',
  title: 'fake-vid-cap',
  index: 0,
  driver: 'fake',
  device: '/sys/devices/fake',
  links: [],
};

const camera: FakeDescription = {
  deviceCaps: CAPTURE_STREAMING,
  bufferCapabilities: MMAP_USERPTR_DMABUF,
  formats: {
    1: [
      {
        fourcc: 'YUYV',
        description: 'YUYV 4:2:2',
        sizes: [
          [
            640,
            480,
            [
              [1, 30],
              [1, 15],
            ],
          ],
          [320, 240, [[1001, 30000]]],
        ],
      },
      {
        fourcc: 'MJPG',
        flags: 1,
        range: [
          [16, 1920, 8],
          [24, 1080, 4],
        ],
      },
    ],
  },
};

async function survey(description: FakeDescription, depth: Depth = 'full'): Promise<Survey> {
  const file = new FakeNode(description);
  const result = await surveyNode(node, depth, file);
  assert.equal(file.isClosed, true);
  return result;
}

describe('v4l2/survey', () => {
  it('reads identity, formats, sizes, intervals and memory types', async () => {
    const { identity, kind, queues, serveable, reason } = await survey(camera);
    assert.deepEqual(identity, {
      driver: 'fake',
      card: 'Fake Card',
      busInfo: 'platform:fake',
      deviceCaps: CAPTURE_STREAMING,
    });
    assert.deepEqual([kind, serveable, reason], ['capture', true, null]);
    const [queue] = queues;
    assert.deepEqual(
      [queue!.name, queue!.memory, queue!.exportable],
      ['VIDEO_CAPTURE', ['MMAP', 'USERPTR', 'DMABUF'], true],
    );
    const [yuyv, mjpg] = queue!.formats;
    assert.deepEqual(yuyv, {
      fourcc: 'YUYV',
      description: 'YUYV 4:2:2',
      compressed: false,
      emulated: false,
      sizes: [
        {
          width: 640,
          height: 480,
          intervals: [
            { numerator: 1, denominator: 30 },
            { numerator: 1, denominator: 15 },
          ],
        },
        { width: 320, height: 240, intervals: [{ numerator: 1001, denominator: 30000 }] },
      ],
    });
    assert.equal(mjpg!.compressed, true);
    assert.deepEqual(mjpg!.sizes, [
      {
        width: 1920,
        height: 1080,
        range: { minWidth: 16, minHeight: 24, stepWidth: 8, stepHeight: 4 },
        intervals: [],
      },
    ]);
  });

  it('asks for no size, interval or control in a summary', async () => {
    const file = new FakeNode(camera);
    const { queues } = await surveyNode(node, 'summary', file);
    assert.deepEqual(queues[0]!.formats[0]!.sizes, []);
    for (const nr of [74, 75, 103]) assert.equal(file.asked.includes(nr), false);
  });

  it('takes capabilities for device_caps of a driver that has none', async () => {
    const { identity } = await survey({ capabilities: CAPTURE_STREAMING, deviceCaps: 0xdead });
    assert.equal(identity!.deviceCaps, CAPTURE_STREAMING);
  });

  it('tries each memory type where REQBUFS names none', async () => {
    const { queues } = await survey({ ...camera, bufferCapabilities: 0, memory: [1, 4] });
    assert.deepEqual(queues[0]!.memory, ['MMAP', 'DMABUF']);
  });

  it('knows a driver without EXPBUF', async () => {
    const { queues } = await survey({ ...camera, exportErrno: ENOTTY });
    assert.equal(queues[0]!.exportable, false);
  });

  it('does not ask about buffers where the driver has no streaming I/O', async () => {
    const file = new FakeNode({ ...camera, deviceCaps: 0x01000001 });
    const { queues, serveable, reason } = await surveyNode(node, 'full', file);
    assert.deepEqual([queues[0]!.memory, serveable, file.asked.includes(8)], [[], false, false]);
    assert.match(reason!, /read\(\) and write\(\)/);
  });

  describe('that another program uses', () => {
    const busy = { ...camera, requestErrno: EBUSY };
    const ffmpeg = { pid: 7, command: 'ffmpeg', maps: true };
    const bystander = { pid: 8, command: 'pipewire', maps: false };

    it('says which one has buffers of the queue, and not who merely has it open', async () => {
      const { queues, serveable, reason } = await survey({ ...busy, holders: [ffmpeg, bystander] });
      assert.deepEqual([queues[0]!.memory, queues[0]!.exportable, serveable], [null, null, false]);
      assert.equal(reason, 'it is in use: ffmpeg (7) has it, end that one first');
      assert.match((await survey(busy)).reason!, /in use: another program has it/);
    });

    it('blames nobody who only might have buffers', async () => {
      const { reason } = await survey({ ...busy, holders: [bystander] });
      assert.equal(reason, 'it is in use by another program; those that have it open: pipewire (8)');
    });

    it('says which one has the only open file', async () => {
      const { reason } = await survey({ openErrno: EBUSY, holders: [bystander] });
      assert.equal(reason, 'its driver allows one program at a time: pipewire (8) has it open');
    });
  });

  it('says why a node cannot be opened, with the cure', async () => {
    const { identity, kind, serveable, reason } = await survey({ openErrno: EACCES });
    assert.deepEqual([identity, kind, serveable], [undefined, 'unknown', false]);
    assert.match(reason!, /usermod -aG video/);
    assert.match((await survey({ openErrno: 117 })).reason!, /errno 117/);
  });

  it('says that an output without a device waits for a producer, and can be served', async () => {
    const virtual = { ...node, device: '', driver: '' };
    const output = { deviceCaps: 0x05200002, bufferCapabilities: MMAP_USERPTR_DMABUF };
    const asked = (entry: HostNodeEntry) => surveyNode(entry, 'summary', new FakeNode(output));
    const { serveable, cautions } = await asked(virtual);
    assert.equal(serveable, true);
    assert.match(cautions[0]!, /waits for a producer/);
    assert.deepEqual((await asked(node)).cautions, []);
  });

  it('opens no sub-device', async () => {
    const file = new FakeNode({});
    const result = await surveyNode({ ...node, class: 'v4l-subdev' }, 'full', file);
    assert.deepEqual([result.kind, result.serveable, file.asked], ['subdevice', false, []]);
  });

  it('gives up on a node that does not answer, and keeps what it was told', async () => {
    const file = new FakeNode({ ...camera, hangsAt: 2 });
    const { identity, serveable, reason } = await surveyNode(node, 'full', file, 50);
    assert.deepEqual([identity!.card, serveable, file.isClosed], ['Fake Card', false, true]);
    assert.match(reason!, /did not answer within 0.05 s/);
  });

  it('gives up on a node that takes too long for everything, and keeps what it was told', async () => {
    const many = Array.from({ length: 900 }, (_, n) => ({
      id: 0x980900 + n,
      type: 1,
      name: `${n}`,
      value: n,
    }));
    const file = new FakeNode({ ...camera, controls: many, delay: 5 });
    const begun = performance.now();
    const { identity, queues, controls, serveable, reason } = await surveyNode(node, 'full', file, 1000, 300);
    assert.ok(performance.now() - begun < 900);
    assert.deepEqual(
      [identity!.card, queues.length, serveable, file.isClosed],
      ['Fake Card', 1, false, true],
    );
    assert.ok(controls.length > 0 && controls.length < 900, `${controls.length} controls`);
    assert.equal(reason, 'it did not answer everything within 0.3 s: unplug it, or see dmesg');
  });

  it('waits for many quick answers, but not for ever', async () => {
    const control = (n: number) => ({ id: 0x980900 + n, type: 1, name: `${n}`, value: n });
    const busy = (count: number) =>
      new FakeNode({ ...camera, controls: Array.from({ length: count }, (_, n) => control(n)), delay: 5 });
    const patient = await surveyNode(node, 'full', busy(100), 30_000, 400);
    assert.deepEqual([patient.reason, patient.controls.length], [null, 100]);
    const endless = await surveyNode(node, 'full', busy(900), 30_000, 100);
    assert.equal(endless.reason, 'it did not answer everything within 0.1 s: unplug it, or see dmesg');
    assert.ok(endless.controls.length > 0 && endless.controls.length < 900);
  });

  it('reads rectangles, but no array of them', async () => {
    const RECT = 0x107;
    const HAS_PAYLOAD = 0x100;
    const WRITE_ONLY = 0x40;
    const payload = Buffer.alloc(16);
    payload.writeInt32LE(-2, 0);
    payload.writeInt32LE(3, 4);
    payload.writeUInt32LE(640, 8);
    payload.writeUInt32LE(0x8000_0000, 12);
    const control = (id: number, more: object) => ({
      id,
      type: RECT,
      name: `${id}`,
      flags: HAS_PAYLOAD,
      ...more,
    });
    const { controls } = await survey({
      ...camera,
      controls: [
        control(1, { payload }),
        control(2, { payload, elements: 2 }),
        control(3, { payload, flags: HAS_PAYLOAD | WRITE_ONLY }),
        control(4, {}),
      ],
    });
    assert.deepEqual(
      controls.map(({ type, value }) => [type, value]),
      [
        ['rectangle', { left: -2, top: 3, width: 640, height: 0x8000_0000 }],
        ['rectangle', undefined],
        ['rectangle', undefined],
        ['rectangle', undefined],
      ],
    );
  });

  it('reads controls: signed ranges, values, menus with holes, integer menus', async () => {
    const { controls } = await survey({
      ...camera,
      controls: [
        { id: 0x980001, type: 6, name: 'User Controls' },
        {
          id: 0x980900,
          type: 1,
          name: 'Brightness',
          minimum: -64n,
          maximum: 64n,
          defaultValue: -3n,
          value: -7,
        },
        { id: 0x980902, type: 3, name: 'Mode', maximum: 3n, value: 2, menu: { 0: 'Off', 2: 'On' } },
        {
          id: 0x980903,
          type: 9,
          name: 'Frequency',
          maximum: 1n,
          value: 1,
          flags: 0x4,
          menu: { 0: -50n, 1: 60n },
        },
        { id: 0x980904, type: 1, name: 'Dead', flags: 0x1, value: 1 },
        { id: 0x980905, type: 0x100, name: 'Table', flags: 0x110, value: 1 },
        { id: 0x980906, type: 4, name: 'Go', value: 1 },
        { id: 0x980907, type: 5, name: 'Long', minimum: -(2n ** 63n), maximum: 2n ** 53n - 1n, value: 1 },
        { id: 0x980908, type: 8, name: 'Bits', maximum: 0x80000000n, value: -0x80000000, elements: 2 },
      ],
    });
    assert.deepEqual(
      controls.map(({ name }) => name),
      ['Brightness', 'Mode', 'Frequency', 'Table', 'Go', 'Long', 'Bits'],
    );
    const [brightness, mode, frequency, table, go, long, bits] = controls;
    assert.deepEqual(
      [brightness!.minimum, brightness!.maximum, brightness!.defaultValue, brightness!.value],
      [-64, 64, -3, -7],
    );
    assert.deepEqual(mode!.menu, [
      { index: 0, name: 'Off' },
      { index: 2, name: 'On' },
    ]);
    assert.deepEqual(
      frequency!.menu.map(({ name }) => name),
      ['-50', '60'],
    );
    assert.equal(frequency!.readOnly, true);
    assert.deepEqual([table!.value, table!.inactive, go!.value], [undefined, true, undefined]);
    assert.deepEqual([long!.minimum, long!.maximum], ['-9223372036854775808', 2 ** 53 - 1]);
    assert.deepEqual([bits!.value, bits!.elements, long!.elements], [0x80000000, 2, 1]);
  });

  it('ends with a driver that enumerates for ever', async () => {
    const formats = Array.from({ length: 1000 }, () => ({ fourcc: 'YUYV' }));
    const { queues } = await survey({ ...camera, formats: { 1: formats } }, 'summary');
    assert.equal(queues[0]!.formats.length, 256);
  });
});
