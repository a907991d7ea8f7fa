/** The texts that `list` and `inspect` print for surveys. The surveys are written by hand. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { inspectText } from '../../../src/cli/inspect.js';
import { listText, NO_NODES } from '../../../src/cli/list.js';
import { outputOf } from '../../../src/cli/output.js';
import type { Survey } from '../../../src/v4l2/survey.js';
import { run } from './support/run.js';

const node = {
  name: 'video0',
  path: '/dev/video0',
  class: 'video',
  title: 'Cam: Cam',
  index: 0,
  driver: 'uvcvideo',
  device: '/sys/devices/usb1',
  links: ['/dev/v4l/by-id/usb-cam-video-index0', '/dev/v4l/by-path/usb-0'],
} as const;

const format = (fourcc: string) => ({
  fourcc,
  description: fourcc,
  compressed: false,
  emulated: false,
  sizes: [],
});

const camera: Survey = {
  node,
  kind: 'capture',
  identity: { driver: 'uvcvideo', card: 'Cam', busInfo: 'usb-1', deviceCaps: 0x04200001 },
  queues: [
    {
      type: 1,
      name: 'VIDEO_CAPTURE',
      formats: [
        {
          ...format('YUYV'),
          description: 'YUYV 4:2:2',
          sizes: [
            {
              width: 640,
              height: 480,
              intervals: [
                { numerator: 1, denominator: 30 },
                { numerator: 1001, denominator: 30000 },
              ],
            },
            {
              width: 1920,
              height: 1080,
              range: { minWidth: 16, minHeight: 16, stepWidth: 2, stepHeight: 1 },
              intervals: [
                {
                  minimum: { numerator: 1, denominator: 60 },
                  maximum: { numerator: 1, denominator: 1 },
                  step: { numerator: 1, denominator: 60 },
                },
              ],
            },
          ],
        },
        { ...format('MJPG'), compressed: true },
        ...['NV12', 'GREY', 'RGB3', 'BGR3'].map(format),
      ],
      memory: ['MMAP', 'USERPTR'],
      exportable: false,
    },
  ],
  controls: [
    {
      id: 0x980900,
      name: 'Brightness',
      type: 'integer',
      elements: 1,
      minimum: -64,
      maximum: 64,
      step: 1,
      defaultValue: 0,
      value: -7,
      readOnly: false,
      inactive: false,
      menu: [],
    },
    {
      id: 0x980918,
      name: 'Power Line',
      type: 'menu',
      elements: 1,
      minimum: 0,
      maximum: 1,
      step: 1,
      defaultValue: 1,
      value: 1,
      readOnly: false,
      inactive: true,
      menu: [
        { index: 0, name: 'Off' },
        { index: 1, name: '50 Hz' },
      ],
    },
    {
      id: 0x98f911,
      name: 'Rect',
      type: 'rectangle',
      elements: 1,
      minimum: 0,
      maximum: 0,
      step: 0,
      defaultValue: 0,
      value: { left: -200, top: 100, width: 300, height: 400 },
      readOnly: false,
      inactive: false,
      menu: [],
    },
    {
      id: 0x98090c,
      name: 'Auto',
      type: 'boolean',
      elements: 1,
      minimum: 0,
      maximum: 1,
      step: 1,
      defaultValue: 1,
      value: 1,
      readOnly: true,
      inactive: false,
      menu: [],
    },
    {
      id: 0x98f906,
      name: 'Bits',
      type: 'bitmask',
      elements: 2,
      minimum: 0,
      maximum: 0x80402010,
      step: 0,
      defaultValue: 0x10,
      value: 0x80000000,
      readOnly: false,
      inactive: false,
      menu: [],
    },
  ],
  serveable: true,
  reason: null,
  cautions: [],
};

const closed: Survey = {
  node: { ...node, name: 'video10', path: '/dev/video10', links: [] },
  kind: 'unknown',
  queues: [],
  controls: [],
  serveable: false,
  reason: 'no permission to open it',
  cautions: [],
};

describe('cli/list', () => {
  it('aligns a line a node, and says below what cannot be served', () => {
    assert.deepEqual(listText([camera, closed]).split('\n'), [
      'DEVICE        KIND     DRIVER    CARD      FORMATS                 MEMORY        SERVE',
      '/dev/video0   capture  uvcvideo  Cam       YUYV MJPG NV12 GREY +2  mmap userptr  yes',
      '/dev/video10  ?        uvcvideo  Cam: Cam  -                       -             no',
      '',
      '/dev/video10: no permission to open it.',
    ]);
  });

  it('says a sentence once for all nodes that it is about', () => {
    const other = { ...closed, node: { ...closed.node, path: '/dev/video11' } };
    assert.match(
      listText([closed, other]),
      /\n\n\/dev\/video10, \/dev\/video11: no permission to open it\.$/,
    );
  });

  it('names the memory types that all queues take, and a busy queue', () => {
    const [queue] = camera.queues;
    const both = (memory: string[] | null) =>
      listText([{ ...camera, queues: [queue!, { ...queue!, memory }] }]);
    assert.match(both(['MMAP', 'DMABUF']), / mmap +yes/);
    assert.match(both([]), / mmap userptr +yes/);
    assert.match(both(null), / busy +yes/);
  });

  it('says what to do on a host without nodes', function () {
    if (existsSync('/sys/class/video4linux')) this.skip();
    const { status, stdout, stderr } = run(['list']);
    assert.deepEqual([status, stdout, stderr], [0, '', `${NO_NODES}\n`]);
    assert.equal(run(['list', '--json']).stdout, '[]\n');
  });
});

describe('cli/inspect', () => {
  const text = inspectText(camera);

  it('tells the facts', () => {
    for (const line of [
      /^\/dev\/video0\n/,
      /^ {2}card {10}Cam$/m,
      /^ {2}bus {11}usb-1$/m,
      /^ {2}capabilities {2}VIDEO_CAPTURE EXT_PIX_FORMAT STREAMING$/m,
      /^ {2}links {9}\/dev\/v4l\/by-id\/usb-cam-video-index0\n {16}\/dev\/v4l\/by-path\/usb-0$/m,
      /^ {2}bridge {8}can serve it$/m,
    ])
      assert.match(text, line);
  });

  it('tells formats, sizes and rates', () => {
    for (const line of [
      /^VIDEO_CAPTURE {2}memory: MMAP USERPTR; exports no buffers$/m,
      /^ {2}YUYV {2}YUYV 4:2:2$/m,
      /^ {4}640x480 +30, 29\.97 fps$/m,
      /^ {4}16x16 to 1920x1080 in steps of 2x1 +1 to 60 fps$/m,
      /^ {2}MJPG {2}MJPG \(compressed\)$/m,
    ])
      assert.match(text, line);
  });

  it('tells sizes once for neighbours that have the same', () => {
    const [queue] = camera.queues;
    const [yuyv] = queue!.formats;
    const formats = [yuyv!, { ...yuyv!, fourcc: 'UYVY' }, format('GREY')];
    const lines = inspectText({ ...camera, queues: [{ ...queue!, formats }] }).split('\n');
    const at = lines.findIndex((line) => line.startsWith('  YUYV'));
    assert.match(lines[at + 1]!, /^ {2}UYVY/);
    assert.match(lines[at + 2]!, /^ {4}640x480/);
    assert.match(lines[at + 4]!, /^ {2}GREY/);
  });

  it('tells controls', () => {
    for (const line of [
      /^ {2}0x0098f906 {2}Bits {8}bitmask\[2\] {2}0x80000000 \[bits 0x80402010, default 0x00000010\]$/m,
      /^ {2}0x00980900 {2}Brightness {2}integer {5}-7 \[-64 to 64, step 1, default 0\]$/m,
      /^ {2}0x00980918 {2}Power Line {2}menu {8}1 \(50 Hz\) \[0 Off, 1 50 Hz\] inactive$/m,
      /^ {2}0x0098f911 {2}Rect {8}rectangle {3}\(-200,100\)\/300x400$/m,
      /^ {2}0x0098090c {2}Auto {8}boolean {5}on read-only$/m,
    ])
      assert.match(text, line);
  });

  it('says why a node cannot be served, with nothing to tell beyond sysfs', () => {
    assert.match(inspectText(closed), /^ {2}bridge +cannot serve it: no permission to open it$/m);
  });
});

describe('cli/output', () => {
  /** A name that clears the screen, forges a line and turns what follows. */
  const FORGED = 'Cam\u001b[2J\nERROR forged\u009b2J\u202e\u2028\u0000';
  const CLEAN = 'Cam?[2J?ERROR forged?2J???';
  const [queue] = camera.queues;
  const [control] = camera.controls;
  /** A device of which every text is forged. */
  const forged: Survey = {
    ...camera,
    node: { ...node, title: FORGED, driver: FORGED, device: FORGED, links: [FORGED] },
    identity: { driver: FORGED, card: FORGED, busInfo: FORGED, deviceCaps: 1 },
    queues: [{ ...queue!, formats: [{ ...format('YUYV'), description: FORGED }] }],
    controls: [{ ...control!, name: FORGED, type: 'menu', value: 1, menu: [{ index: 1, name: FORGED }] }],
    serveable: false,
    reason: `${FORGED} (1234) has it open`,
  };

  for (const [name, lines, textOf] of [
    ['list', 4, () => outputOf([forged], false, listText)],
    ['inspect', 15, () => outputOf(forged, undefined, inspectText)],
  ] as const)
    it(`has no text of a device as it is: ${name}`, () => {
      const text = textOf();
      assert.equal(text.split('\n').length, lines);
      assert.ok(text.includes(CLEAN));
      assert.equal(
        text
          .replaceAll('\n', '')
          .replaceAll(/[^ -~]/g, '!')
          .includes('!'),
        false,
      );
    });

  it('has the same text in JSON', () => {
    const json = outputOf(forged, true, inspectText);
    assert.doesNotMatch(json, /\\u|\\n|\\r/);
    const { identity, controls, reason } = JSON.parse(json) as Survey;
    assert.deepEqual(identity, { driver: CLEAN, card: CLEAN, busInfo: CLEAN, deviceCaps: 1 });
    assert.deepEqual([controls[0]!.name, controls[0]!.menu[0]!.name], [CLEAN, CLEAN]);
    assert.equal(reason, `${CLEAN} (1234) has it open`);
  });

  it('is what it was if nothing is forged', () => {
    assert.equal(outputOf(camera, true, inspectText), JSON.stringify(camera, null, 2));
    assert.equal(outputOf(camera, false, inspectText), inspectText(camera));
  });
});
