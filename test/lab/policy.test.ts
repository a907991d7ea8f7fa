/**
 * What `serve` is told to hide from a guest, on a real driver: the guest cannot reach it by any ioctl, and other
 * programs are not affected.
 */
import assert from 'node:assert/strict';
import { policyOf } from '../../src/cli/policy.js';
import { type ControlRequest, controlIoctl } from '../../src/client/control-ioctls.js';
import { Errno } from '../../src/errno.js';
import { encoded } from '../../src/struct.js';
import {
  ControlFlag,
  control,
  extControl,
  queryExtCtrl,
  querymenu,
  Which,
} from '../../src/v4l2/control-layout.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferType, EventType, eventSubscription, frmsizeenum } from '../../src/v4l2/layout.js';
import { fourcc, fourccCode } from '../../src/v4l2/names.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { type Ask, askGuest, enumerate, formatsOf } from './support/enumeration.js';
import { formatRequest, GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { NativeNode } from './support/native-node.js';
import { errnoOf, onStage, Stage } from './support/stage.js';
import { VividControl as V } from './support/vivid.js';

const VIVID = 'vivid n_devs=1 node_types=0x1';
const CAMERA = 'vivid-000-vid-cap';
const CAPTURE = BufferType.VIDEO_CAPTURE;
const { G_EXT_CTRLS: G, S_EXT_CTRLS: S, TRY_EXT_CTRLS: TRY } = Ioctl;
const { NEXT_CTRL, NEXT_COMPOUND } = ControlFlag;
/** The id of no control. */
const UNKNOWN = 0x0098_fff0;
/** V4L2_CID_PRIVATE_BASE. */
const ALIAS = 0x0800_0000;

/** vivid's own class contains DISCONNECT and the other faults. */
const DENIED = [V.BRIGHTNESS, V.MENU, V.U8_ARRAY, V.STRING, V.AREA];
const CONTROLS = `${DENIED.join(',')},0x00f00000`;
const isDenied = (id: number) => DENIED.includes(id as never) || (id & 0x0fff_0000) === 0x00f0_0000;

describe('lab: policy', function () {
  this.timeout(60_000);
  let camera: string;
  let node: NativeNode;
  const natively: Ask = (nr, payload) => node.ioctl(nr, payload);

  before(async function () {
    provide(this, VIVID);
    camera = nodeNamed(CAMERA);
    node = await NativeNode.open(camera);
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(async () => {
    await node?.close();
    unload(VIVID);
  });

  describe('of controls', () => {
    let stage: Stage;
    let session: number;
    let guest: Ask;

    before(async () => {
      stage = await Stage.open(camera, { serve: { policy: policyOf({ 'deny-controls': CONTROLS }) } });
      session = await stage.driver.open();
      guest = askGuest(stage.driver, session);
    });
    afterEach(() => stage.verify());
    after(() => stage?.close());

    const extended = (nr: number, requests: ControlRequest[], which: number = Which.CURRENT) =>
      controlIoctl(stage.driver, session, nr, requests, { which });

    it('the enumeration is the native one without them, and without the heading of an empty class', async () => {
      for (const [nr, flags] of [
        [Ioctl.QUERY_EXT_CTRL, NEXT_CTRL],
        [Ioctl.QUERY_EXT_CTRL, NEXT_COMPOUND],
        [Ioctl.QUERY_EXT_CTRL, NEXT_CTRL | NEXT_COMPOUND],
        [Ioctl.QUERYCTRL, NEXT_CTRL],
      ] as const) {
        const all = await enumerate(natively, nr, flags);
        const shown = all.filter((id) => !isDenied(id));
        assert.ok(shown.length > 3 && shown.length < all.length, `${shown.length} of ${all.length}`);
        assert.deepEqual(await enumerate(guest, nr, flags), shown);
      }
    });

    it('each is to every ioctl what a control is that there is not', async () => {
      const all = await enumerate(natively, Ioctl.QUERY_EXT_CTRL, NEXT_CTRL | NEXT_COMPOUND);
      const hidden = all.filter(isDenied);
      assert.ok(hidden.length > 30, `${hidden.length} controls`);
      for (const id of hidden) {
        for (const [nr, payload] of [
          [Ioctl.QUERY_EXT_CTRL, encoded(queryExtCtrl, { id })],
          [Ioctl.QUERYCTRL, Buffer.concat([encoded(control, { id }), Buffer.alloc(60)])],
          [Ioctl.QUERYMENU, encoded(querymenu, { id, index: 1 })],
          [Ioctl.G_CTRL, encoded(control, { id })],
          [Ioctl.S_CTRL, encoded(control, { id, value: 1 })],
          [Ioctl.SUBSCRIBE_EVENT, encoded(eventSubscription, { type: EventType.CTRL, id, flags: 1 })],
        ] as const)
          assert.equal((await guest(nr, payload)).errno, Errno.EINVAL, `ioctl ${nr} of 0x${id.toString(16)}`);
        for (const nr of [G, S, TRY])
          assert.equal((await extended(nr, [{ id, value: 1n }])).errno, Errno.EINVAL);
      }
      assert.equal(stage.driver.waitingEvents(session), 0);
    });

    it('errno and error_idx are those of a control that there is not, wherever in the array', async () => {
      const three = (id: number): ControlRequest[] => [
        { id: V.CONTRAST, value: 1n },
        { id, value: 1n },
        { id: V.INTEGER, value: 1n },
      ];
      await node.setControl(V.CONTRAST, 77);
      for (const nr of [G, S, TRY])
        for (const which of [Which.CURRENT, Which.DEFAULT, 0x0098_0000]) {
          const array = Buffer.concat(
            three(UNKNOWN).map((each) => encoded(extControl, { id: each.id, value: Buffer.from([1]) })),
          );
          const own = await node.controls(nr, which, array, [null, null, null]);
          const asked = await extended(nr, three(V.BRIGHTNESS), which);
          assert.deepEqual([asked.errno, asked.errorIdx, asked.echoed], [own.errno, own.errorIdx, true]);
          assert.deepEqual(
            asked.controls.map(({ id }) => id),
            [V.CONTRAST, V.BRIGHTNESS, V.INTEGER],
          );
        }
      assert.equal(await node.getControl(V.CONTRAST), 77, 'nothing of a refused call is set');
      for (const [which, errno] of [
        [0x00f0_0000, Errno.EINVAL],
        [0x0098_0000, 0],
        [Which.CURRENT, 0],
      ] as const)
        assert.equal((await extended(G, [], which)).errno, errno, `any of class ${which.toString(16)}?`);
    });

    it('not by flags in an id, nor by an old private number', async () => {
      const before = await node.getControl(V.BRIGHTNESS);
      for (const flag of [NEXT_CTRL, NEXT_COMPOUND, 0x1000_0000]) {
        const id = (V.BRIGHTNESS | flag) >>> 0;
        assert.equal((await guest(Ioctl.S_CTRL, encoded(control, { id, value: 1 }))).errno, Errno.EINVAL);
        assert.equal((await extended(S, [{ id, value: 1n }])).errno, Errno.EINVAL);
      }
      assert.equal(await node.getControl(V.BRIGHTNESS), before);
      const names = async (ask: Ask) => {
        const found: string[] = [];
        for (let id = ALIAS; ; id++) {
          const { errno, payload } = await ask(Ioctl.QUERY_EXT_CTRL, encoded(queryExtCtrl, { id }));
          if (errno !== 0) return found;
          assert.equal(payload.readUInt32LE(0), id);
          found.push(queryExtCtrl.read(payload).name);
        }
      };
      const all = await names(natively);
      assert.ok(all.includes('Menu'), all.join());
      assert.deepEqual(
        await names(guest),
        all.filter((name) => name !== 'Menu'),
      );
    });

    it('what is not denied is set and read, arrays and strings of its kind too', async () => {
      const memory = (bytes: number) => [{ address: stage.driver.heap.allocate(bytes, 8), length: bytes }];
      const matrix = Buffer.alloc(256, 5);
      const set = await extended(S, [
        { id: V.CONTRAST, value: 55n },
        { id: V.U16_MATRIX, memory: memory(256), payload: matrix },
      ]);
      assert.equal(set.errno, 0);
      assert.equal(await node.getControl(V.CONTRAST), 55);
      const got = await extended(G, [{ id: V.U16_MATRIX, memory: memory(256) }]);
      assert.ok(got.errno === 0 && got.controls[0]!.payload!.every((byte) => [0, 5].includes(byte)));
      const lost = await extended(S, [
        { id: V.U8_ARRAY, memory: memory(120), payload: Buffer.alloc(120, 9) },
      ]);
      assert.deepEqual([lost.errno, lost.controls[0]!.size], [Errno.EINVAL, 120]);
    });

    it('a session that is refused everything does not disturb one that streams', async () => {
      const other = await stage.driver.open();
      const queue = new GuestQueue(stage.driver, other, CAPTURE);
      await queue.setFormat('YUYV', 320, 180);
      await queue.start(3);
      for (let frame = 0; frame < 5; frame++) {
        for (const id of [V.BRIGHTNESS, V.DISCONNECT, V.STRING])
          assert.equal((await extended(S, [{ id, value: 1n }])).errno, Errno.EINVAL);
        const { buffer } = await queue.next();
        await queue.queue(buffer.index);
      }
      await queue.off();
      await queue.release();
      await stage.driver.close(other);
    });
  });

  it('--allow-controls: these and their headings, nothing else', async () => {
    const policy = policyOf({ 'allow-controls': `${V.CONTRAST},${V.OSD}` });
    await onStage(camera, { serve: { policy } }, async ({ driver }) => {
      const ask = askGuest(driver, await driver.open());
      const shown = await enumerate(ask, Ioctl.QUERY_EXT_CTRL, NEXT_CTRL | NEXT_COMPOUND);
      assert.deepEqual(shown, [0x0098_0001, V.CONTRAST, 0x00f0_0001, V.OSD]);
    });
    await onStage(camera, { serve: { policy: policyOf({ 'deny-controls': 'all' }) } }, async ({ driver }) => {
      const ask = askGuest(driver, await driver.open());
      assert.deepEqual(await enumerate(ask, Ioctl.QUERY_EXT_CTRL, NEXT_CTRL | NEXT_COMPOUND), []);
    });
  });

  it('formats: not listed, not taken, no buffers and no stream of them; the others stream', async () => {
    const all = await formatsOf(natively);
    const policy = policyOf({ 'deny-formats': 'YUYV,NV12' });
    await onStage(camera, { serve: { policy } }, async ({ driver }) => {
      const session = await driver.open();
      const guest = askGuest(driver, session);
      const shown = all.filter((name) => name !== 'YUYV' && name !== 'NV12');
      assert.equal(shown.length, all.length - 2);
      assert.deepEqual(await formatsOf(guest), shown);
      const adjusted = async (nr: number, name: string) =>
        fourcc((await guest(nr, formatRequest(CAPTURE, name, 320, 180))).payload.readUInt32LE(16));
      for (const nr of [Ioctl.TRY_FMT, Ioctl.S_FMT])
        for (const [asked, taken] of [
          ['RGB3', 'RGB3'],
          ['NV12', shown[0]],
          // The driver replaces an unknown format by YUYV.
          ['abcd', shown[0]],
        ] as const)
          assert.equal(await adjusted(nr, asked), taken);
      for (const [name, errno] of [
        ['NV12', Errno.EINVAL],
        ['RGB3', 0],
      ] as const)
        assert.equal(
          (await guest(Ioctl.ENUM_FRAMESIZES, encoded(frmsizeenum, { pixelFormat: fourccCode(name) }))).errno,
          errno,
        );

      const queue = new GuestQueue(driver, session, CAPTURE);
      await queue.setFormat('RGB3', 320, 180);
      await queue.request(2);
      await queue.request(0);
      // Another program of the host sets a denied format before there are buffers.
      assert.equal((await node.ioctl(Ioctl.S_FMT, formatRequest(CAPTURE, 'YUYV', 320, 180))).errno, 0);
      assert.equal(await errnoOf(queue.request(2)), Errno.EINVAL);
      assert.equal(await errnoOf(queue.create(2, formatRequest(CAPTURE, 'YUYV', 320, 180))), Errno.EINVAL);
      assert.equal((await queue.create(2, queue.formatBytes)).count, 2, 'for a format that is allowed');
      assert.equal(await errnoOf(queue.on()), Errno.EINVAL);
      await queue.request(0);
      await queue.setFormat('RGB3', 320, 180);
      await queue.start(3);
      await queue.next();
      await queue.off();
      await queue.release();
    });
  });

  it('limits: sessions, buffers of a queue, bytes of a session', async () => {
    const policy = policyOf({ 'max-sessions': '3', 'max-buffers': '4', 'max-buffer-bytes': '700000' });
    await onStage(camera, { serve: { policy } }, async ({ driver }) => {
      const sessions = [await driver.open(), await driver.open(), await driver.open()];
      assert.equal(await errnoOf(driver.open()), Errno.EMFILE);
      await driver.close(sessions.pop()!);
      sessions.push(await driver.open());

      const queue = new GuestQueue(driver, sessions[0]!, CAPTURE);
      await queue.setFormat('YUYV', 320, 180);
      assert.equal((await queue.request(20)).count, 4);
      assert.equal(await errnoOf(queue.create(1)), Errno.ENOBUFS);
      assert.equal((await queue.request(2)).count, 2);
      const { index, count, maxNumBuffers } = await queue.create(9);
      assert.deepEqual([index, count, maxNumBuffers], [2, 2, 4]);
      await queue.request(0);
      // 460,800 bytes for each buffer.
      await queue.setFormat('YUYV', 640, 360);
      const granted = await errnoOf(queue.request(4));
      assert.equal(granted, Errno.ENOMEM, 'one fits, and the driver makes no fewer than two');
      await queue.setFormat('YUYV', 320, 180);
      await queue.start(4);
      await queue.next();
      await queue.off();
      await queue.release();
    });
  });
});
