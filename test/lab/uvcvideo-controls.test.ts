/** The features of a USB webcam, read through the bridge and natively: formats, controls, and events of controls. */
import assert from 'node:assert/strict';
import type { GuestDriver } from '../../src/client/guest-driver.js';
import { encoded } from '../../src/struct.js';
import { ControlFlag, control, queryExtCtrl, querymenu } from '../../src/v4l2/control-layout.js';
import { frmsizeDiscrete } from '../../src/v4l2/enumeration-layout.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import {
  BufferType,
  EventType,
  event as eventRecord,
  eventSubscription,
  fmtdesc,
  frmivalenum,
  frmsizeenum,
} from '../../src/v4l2/layout.js';
import { eventually } from '../addon/support/process.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { NativeNode } from './support/native-node.js';
import { errnoOf, onStage, type Stage } from './support/stage.js';
import { UsbCamera } from './support/usb-camera.js';

const BRIGHTNESS = 0x0098_0900;
const POWER_LINE = 0x0098_0918;
const WHITE_BALANCE_AUTO = 0x0098_090c;
const WHITE_BALANCE = 0x0098_091a;
/** A control that the camera's own knob changes. */
const ZOOM = 0x009a_090d;

/** The session's next event that is no frame. */
async function nextEvent(driver: GuestDriver, session: number) {
  for (;;) {
    const event = await driver.nextEvent(session);
    if (event.kind === 'event') return event;
  }
}

describe('lab: controls of uvcvideo', function () {
  this.timeout(60_000);
  let camera: UsbCamera;

  before(async function () {
    camera = await UsbCamera.plugIn(this);
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(() => camera?.end());

  const onCamera = (play: (stage: Stage) => Promise<void>) => onStage(camera.node, {}, play);
  const natively = <T>(use: (node: NativeNode) => T | Promise<T>) => NativeNode.with(camera.node, use);

  it('formats, sizes and rates are the native ones', () =>
    onCamera(async ({ driver }) => {
      const session = await driver.open();
      await natively(async (node) => {
        let answers = 0;
        const same = async (nr: number, request: Buffer): Promise<Buffer | undefined> => {
          const own = await node.ioctl(nr, request);
          const asked = driver.ioctl(session, nr, request);
          if (own.errno !== 0) {
            assert.equal(await errnoOf(asked), own.errno);
            return undefined;
          }
          assert.deepEqual(await asked, own.payload);
          answers++;
          return own.payload;
        };
        const list = async (
          nr: number,
          request: (index: number) => Buffer,
          each: (answer: Buffer) => unknown,
        ) => {
          for (let index = 0; ; index++) {
            const answer = await same(nr, request(index));
            if (!answer) return;
            await each(answer);
          }
        };
        const type = BufferType.VIDEO_CAPTURE;
        await list(
          Ioctl.ENUM_FMT,
          (index) => encoded(fmtdesc, { index, type }),
          async (found) => {
            const { pixelformat: pixelFormat } = fmtdesc.read(found);
            await list(
              Ioctl.ENUM_FRAMESIZES,
              (index) => encoded(frmsizeenum, { index, pixelFormat }),
              async (size) => {
                const { width, height } = frmsizeDiscrete.read(frmsizeenum.read(size).size);
                const rate = (index: number) => encoded(frmivalenum, { index, pixelFormat, width, height });
                await list(Ioctl.ENUM_FRAMEINTERVALS, rate, () => undefined);
              },
            );
          },
        );
        assert.equal(answers, 2 + 6 + 18);
      });
    }));

  it('controls and their menus are the native ones', () =>
    onCamera(async ({ driver }) => {
      const session = await driver.open();
      await natively(async (node) => {
        let id = 0;
        for (let count = 0; ; count++) {
          const next = encoded(queryExtCtrl, {
            id: (id | ControlFlag.NEXT_CTRL | ControlFlag.NEXT_COMPOUND) >>> 0,
          });
          const own = await node.ioctl(Ioctl.QUERY_EXT_CTRL, next);
          const asked = driver.ioctl(session, Ioctl.QUERY_EXT_CTRL, next);
          if (own.errno !== 0) {
            assert.equal(await errnoOf(asked), own.errno);
            assert.ok(count >= 12, `only ${count} controls`);
            return;
          }
          assert.deepEqual(await asked, own.payload);
          id = queryExtCtrl.read(own.payload).id;
          for (let index = 0; index < 4; index++) {
            const item = encoded(querymenu, { id, index });
            const menu = await node.ioctl(Ioctl.QUERYMENU, item);
            const answer = driver.ioctl(session, Ioctl.QUERYMENU, item);
            if (menu.errno !== 0) assert.equal(await errnoOf(answer), menu.errno);
            else assert.deepEqual(await answer, menu.payload);
          }
        }
      });
    }));

  it('a control is set, read back, clamped and refused as natively', () =>
    onCamera(async ({ driver }) => {
      const session = await driver.open();
      await natively(async (node) => {
        for (const [id, value] of [
          [BRIGHTNESS, 33],
          [BRIGHTNESS, -64],
          [BRIGHTNESS, 1000],
          [POWER_LINE, 2],
          [POWER_LINE, 3],
          [WHITE_BALANCE, 3000],
          [WHITE_BALANCE_AUTO, 0],
          [WHITE_BALANCE, 3003],
          [WHITE_BALANCE_AUTO, 1],
          [0x0098_0fff, 1],
        ] as const) {
          const asked = await errnoOf(driver.call(session, Ioctl.S_CTRL, control, { id, value }));
          const after = await node.ioctl(Ioctl.G_CTRL, encoded(control, { id }));
          const own = await node.ioctl(Ioctl.S_CTRL, encoded(control, { id, value }));
          assert.equal(asked, own.errno, `0x${id.toString(16)} = ${value}`);
          assert.deepEqual(after, await node.ioctl(Ioctl.G_CTRL, encoded(control, { id })));
          const got = driver.ioctl(session, Ioctl.G_CTRL, encoded(control, { id }));
          if (after.errno === 0) assert.deepEqual(await got, after.payload);
          else assert.equal(await errnoOf(got), after.errno);
        }
      });
    }));

  // uvcvideo reports changes by the camera itself only while it streams.
  it('a control that another program sets, or the camera itself turns, is the native event', () =>
    onCamera(async (stage) => {
      const { driver } = stage;
      const session = await driver.open();
      await natively((node) =>
        NativeNode.with(camera.node, async (other) => {
          const valueIn = (u: Uint8Array) => Buffer.from(u).readInt32LE(8);
          // uvcvideo reports some changes late. One of the two subscriptions may have been too late for an event of an
          // earlier change.
          const settle = async (id: number, value: number) => {
            await node.setControl(id, value);
            const record = Buffer.alloc(eventRecord.size);
            const told = async () =>
              (await other.submit({ kind: 'dequeueEvent', event: record })) === 0 &&
              valueIn(eventRecord.read(record).u) === value;
            assert.ok(await eventually(told), `no native event of 0x${id.toString(16)} = ${value}`);
            while (valueIn((await nextEvent(driver, session)).event.u) !== value);
          };
          for (const id of [BRIGHTNESS, ZOOM]) {
            const subscription = { type: EventType.CTRL, id };
            await driver.call(session, Ioctl.SUBSCRIBE_EVENT, eventSubscription, subscription);
            await other.call(Ioctl.SUBSCRIBE_EVENT, eventSubscription, subscription);
          }
          await settle(BRIGHTNESS, 7);
          await settle(ZOOM, 120);
          const change = async (id: number, value: number, cause: () => unknown) => {
            await cause();
            const record = Buffer.alloc(eventRecord.size);
            const came = async () => (await other.submit({ kind: 'dequeueEvent', event: record })) === 0;
            assert.ok(await eventually(came), `no native event of 0x${id.toString(16)} = ${value}`);
            const own = eventRecord.read(record);
            const event = await nextEvent(driver, session);
            assert.deepEqual([event.event.type, event.event.id], [own.type, own.id]);
            assert.deepEqual(Buffer.from(event.event.u), Buffer.from(own.u));
            assert.deepEqual([own.id, valueIn(own.u)], [id, value]);
            assert.equal((await driver.call(session, Ioctl.G_CTRL, control, { id })).value, value);
          };
          await change(BRIGHTNESS, 21, () => node.setControl(BRIGHTNESS, 21));
          await change(ZOOM, 150, () => node.setControl(ZOOM, 150));
          const queue = GuestQueue.ofCamera(driver, session);
          await queue.start(2);
          await change(ZOOM, 250, () => camera.tell('turn zoom 250'));
          await queue.off();
        }),
      );
    }));
});
