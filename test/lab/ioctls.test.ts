/** Every row of ioctls.ts through the bridge and natively: the same errno and the same bytes. */
import assert from 'node:assert/strict';
import { Errno } from '../../src/errno.js';
import { encoded } from '../../src/struct.js';
import { Ioctl, ioctls } from '../../src/v4l2/ioctls.js';
import { BufferType, EventType, eventSubscription, format, streamparm } from '../../src/v4l2/layout.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { NativeNode } from './support/native-node.js';
import { errnoOf, Stage } from './support/stage.js';
import { VividControl } from './support/vivid.js';

const VIVID = 'vivid n_devs=1 node_types=0x1';
const CAMERA = 'vivid-000-vid-cap';
const CAPTURE = BufferType.VIDEO_CAPTURE;

/** Little-endian words, filled with zeros to the ioctl's size. */
function words(nr: number, ...values: number[]): Buffer {
  const payload = Buffer.alloc(ioctls.get(nr)!.size);
  for (const [at, value] of values.entries()) payload.writeUInt32LE(value >>> 0, at * 4);
  return payload;
}

const subscription = (type: number, id = 0) => encoded(eventSubscription, { type, id });
const yuyv = 0x5659_5559;

/** Requests for each plain ioctl: some succeed, and some are refused by the kernel for different reasons. */
const requests: Readonly<Record<string, readonly Buffer[]>> = {
  ENUM_FMT: [
    words(2, 0, CAPTURE),
    words(2, 7, CAPTURE),
    words(2, 10_000, CAPTURE),
    words(2, 0, BufferType.META_CAPTURE),
  ],
  G_FMT: [
    words(4, CAPTURE),
    words(4, BufferType.VIDEO_OUTPUT),
    words(4, BufferType.VBI_CAPTURE),
    words(4, 0xffff_ffff),
  ],
  S_FMT: [
    words(5, CAPTURE, 0, 320, 180, yuyv),
    words(5, CAPTURE, 0, 1, 1, 0),
    words(5, BufferType.SDR_CAPTURE),
  ],
  TRY_FMT: [
    words(64, CAPTURE, 0, 320, 180, yuyv),
    words(64, CAPTURE, 0, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff),
  ],
  G_PARM: [words(21, CAPTURE), words(21, BufferType.VIDEO_OUTPUT)],
  S_PARM: [words(22, CAPTURE, 0, 0, 1, 10), words(22, BufferType.VBI_OUTPUT)],
  ENUMINPUT: [words(26, 0), words(26, 1), words(26, 99)],
  G_CTRL: [words(27, VividControl.BRIGHTNESS), words(27, 0x1234)],
  S_CTRL: [
    words(28, VividControl.BRIGHTNESS, 100),
    words(28, VividControl.READ_ONLY, 1),
    words(28, 0x1234, 1),
  ],
  QUERYCTRL: [words(36, VividControl.MENU), words(36, 0x8000_0000), words(36, 0x1234)],
  QUERYMENU: [
    words(37, VividControl.MENU, 1),
    words(37, VividControl.MENU, 2),
    words(37, VividControl.MENU, 3),
    words(37, VividControl.MENU, 99),
  ],
  G_INPUT: [words(38)],
  S_INPUT: [words(39, 0), words(39, 99)],
  ENUM_FRAMESIZES: [words(74, 0, yuyv), words(74, 99, yuyv), words(74, 0, 0)],
  ENUM_FRAMEINTERVALS: [
    words(75, 0, yuyv, 320, 180),
    words(75, 99, yuyv, 320, 180),
    words(75, 0, yuyv, 7, 7),
  ],
  SUBSCRIBE_EVENT: [
    subscription(EventType.CTRL, VividControl.BRIGHTNESS),
    subscription(EventType.ALL),
    subscription(EventType.EOS),
    subscription(0x0800_0001),
    subscription(EventType.CTRL, 0x1234),
  ],
  UNSUBSCRIBE_EVENT: [subscription(EventType.CTRL, VividControl.BRIGHTNESS), subscription(EventType.ALL)],
  G_SELECTION: [
    words(94, CAPTURE, 0),
    words(94, CAPTURE, 2),
    words(94, CAPTURE, 0x100),
    words(94, CAPTURE, 0x9999),
  ],
  S_SELECTION: [words(95, CAPTURE, 0, 0, 0, 0, 100, 100), words(95, CAPTURE, 0x9999)],
  QUERY_EXT_CTRL: [words(103, VividControl.U8_ARRAY), words(103, 0xc000_0000), words(103, 0x1234)],
};
/**
 * node-ioctls.test.ts compares the rows that a webcam does not have. Other files compare the rows of buffers and
 * controls.
 */

/** Refused on every node: VIRTIO 1.4, "Unsupported ioctls", and numbers that are no VIDIOC. */
const refused: Readonly<Record<string, number>> = {
  QUERYCAP: 0,
  G_FBUF: 10,
  S_FBUF: 11,
  OVERLAY: 14,
  EXPBUF: 16,
  DQBUF: 17,
  G_JPEGCOMP: 61,
  S_JPEGCOMP: 62,
  G_PRIORITY: 67,
  S_PRIORITY: 68,
  LOG_STATUS: 70,
  DBG_S_REGISTER: 79,
  DBG_G_REGISTER: 80,
  DQEVENT: 89,
  DBG_G_CHIP_INFO: 102,
  'a gap': 1,
  'beyond the last': 105,
  'a private number': 192,
  'the last number': 255,
  'a full word': 0xffff_ffff,
};

describe('lab: ioctls', function () {
  this.timeout(30_000);
  let stage: Stage;
  let session: number;
  let natively: NativeNode;

  before(async function () {
    provide(this, VIVID);
    keepJournal();
    stage = await Stage.open(nodeNamed(CAMERA));
    session = await stage.driver.open();
    natively = await NativeNode.open(nodeNamed(CAMERA));
  });
  afterEach(function () {
    showJournal(this.currentTest);
    stage.verify();
  });
  after(async () => {
    await natively?.close();
    await stage?.close();
    unload(VIVID);
  });

  for (const { nr, name, direction } of ioctls.values())
    for (const [n, request] of (requests[name] ?? []).entries())
      it(`${name}, request ${n + 1}: as natively`, async () => {
        const host = await natively.ioctl(nr, request);
        let payload: Buffer = Buffer.alloc(0);
        const errno = await errnoOf(
          stage.driver.ioctl(session, nr, request).then((answer) => {
            payload = answer;
          }),
        );
        assert.equal(errno, host.errno);
        // The bridge does not offer read(), so there are no read buffers.
        if (name.endsWith('_PARM')) host.payload.writeUInt32LE(0, streamparm.offset.readbuffers);
        if (errno === 0 && direction !== 'w')
          assert.equal(payload.toString('hex'), host.payload.toString('hex'));
      });

  for (const [name, nr] of Object.entries(refused))
    it(`${name} (${nr}): ENOTTY`, async () => {
      const asked = stage.driver.ioctl(session, nr, Buffer.alloc(104), { direction: 'wr', size: 104 });
      assert.equal(await errnoOf(asked), Errno.ENOTTY);
    });

  for (const nr of [Ioctl.G_FMT, Ioctl.S_FMT, Ioctl.TRY_FMT])
    for (const type of [BufferType.VIDEO_OVERLAY, BufferType.VIDEO_OUTPUT_OVERLAY])
      it(`${ioctls.get(nr)!.name} of overlay type ${type}: EINVAL`, async () => {
        const asked = stage.driver.ioctl(session, nr, encoded(format, { type }));
        assert.equal(await errnoOf(asked), Errno.EINVAL);
      });

  it('takes both forms of G_INPUT', async () => {
    const header = Buffer.from('0300000000000000' + '00000000' + '26000000', 'hex');
    header.writeUInt32LE(session, 8);
    const short = await stage.driver.command(header, 12);
    const long = await stage.driver.command(Buffer.concat([header, Buffer.alloc(4, 0xff)]), 12);
    assert.equal(short.toString('hex'), '00'.repeat(12));
    assert.equal(long.toString('hex'), '00'.repeat(12));
  });
});
