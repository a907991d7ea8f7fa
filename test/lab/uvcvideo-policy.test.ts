/** Controls that are hidden from a guest, on a driver that does its own look-up of controls: uvcvideo. */
import assert from 'node:assert/strict';
import { policyOf } from '../../src/cli/policy.js';
import { controlIoctl } from '../../src/client/control-ioctls.js';
import type { GuestDriver } from '../../src/client/guest-driver.js';
import { Errno } from '../../src/errno.js';
import { encoded } from '../../src/struct.js';
import { ControlFlag, control, extControl, queryExtCtrl, Which } from '../../src/v4l2/control-layout.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { EventType, eventSubscription } from '../../src/v4l2/layout.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { NativeNode } from './support/native-node.js';
import { errnoOf, onStage } from './support/stage.js';
import { UsbCamera } from './support/usb-camera.js';

const BRIGHTNESS = 0x0098_0900;
const ZOOM = 0x009a_090d;
/** The id of no control. */
const UNKNOWN = 0x0098_fff0;
const NEXT = (ControlFlag.NEXT_CTRL | ControlFlag.NEXT_COMPOUND) >>> 0;
const { G_EXT_CTRLS: G, S_EXT_CTRLS: S, TRY_EXT_CTRLS: TRY } = Ioctl;

describe('lab: policy on uvcvideo', function () {
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

  /** The ids that the driver lists natively, or that the guest sees. */
  async function enumerate(ask: (payload: Buffer) => Promise<Buffer | undefined>): Promise<number[]> {
    const ids: number[] = [];
    for (;;) {
      const answer = await ask(encoded(queryExtCtrl, { id: ((ids.at(-1) ?? 0) | NEXT) >>> 0 }));
      if (!answer) return ids;
      ids.push(answer.readUInt32LE(0));
    }
  }
  const listed = (driver: GuestDriver, session: number) =>
    enumerate((payload) => driver.ioctl(session, Ioctl.QUERY_EXT_CTRL, payload).catch(() => undefined));

  it('they are not listed, not read and not set, with the error_idx of what there is not', () =>
    NativeNode.with(camera.node, async (node) => {
      const all = await enumerate(async (payload) => {
        const { errno, payload: answer } = await node.ioctl(Ioctl.QUERY_EXT_CTRL, payload);
        return errno === 0 ? answer : undefined;
      });
      assert.ok(all.includes(BRIGHTNESS) && all.includes(ZOOM), all.map((id) => id.toString(16)).join());
      const policy = policyOf({ 'deny-controls': `${BRIGHTNESS},camera` });
      await onStage(camera.node, { serve: { policy } }, async ({ driver }) => {
        const session = await driver.open();
        const shown = all.filter((id) => id !== BRIGHTNESS && id >> 16 !== 0x9a);
        assert.deepEqual(await listed(driver, session), shown);
        const other = shown.find((id) => (id & 0xffff) !== 1)!;
        const before = await node.getControl(BRIGHTNESS);
        for (const nr of [G, S, TRY]) {
          const records = [other, UNKNOWN].map((id) => encoded(extControl, { id, value: Buffer.from([1]) }));
          const own = await node.controls(nr, Which.CURRENT, Buffer.concat(records), [null, null]);
          const asked = await controlIoctl(driver, session, nr, [
            { id: other, value: 1n },
            { id: BRIGHTNESS, value: 1n },
          ]);
          assert.deepEqual([asked.errno, asked.errorIdx], [own.errno, own.errorIdx], `ioctl ${nr}`);
        }
        for (const id of [BRIGHTNESS, ZOOM]) {
          for (const nr of [Ioctl.G_CTRL, Ioctl.S_CTRL])
            assert.equal(await errnoOf(driver.call(session, nr, control, { id, value: 1 })), Errno.EINVAL);
          const subscription = encoded(eventSubscription, { type: EventType.CTRL, id });
          assert.equal(
            await errnoOf(driver.ioctl(session, Ioctl.SUBSCRIBE_EVENT, subscription)),
            Errno.EINVAL,
          );
        }
        assert.equal(await node.getControl(BRIGHTNESS), before);
      });
    }));

  it('a NEXT flag in S_CTRL, by which the driver sets the next control, sets none', () =>
    NativeNode.with(camera.node, async (node) => {
      const id = ((BRIGHTNESS - 1) | ControlFlag.NEXT_CTRL) >>> 0;
      const [first, second] = [
        await node.getControl(BRIGHTNESS),
        (await node.getControl(BRIGHTNESS)) === 7 ? 8 : 7,
      ];
      assert.equal(
        (await node.ioctl(Ioctl.S_CTRL, encoded(control, { id, value: second }))).errno,
        0,
        'natively it is set',
      );
      assert.equal(await node.getControl(BRIGHTNESS), second);
      const policy = policyOf({ 'deny-controls': `${BRIGHTNESS}` });
      await onStage(camera.node, { serve: { policy } }, async ({ driver }) => {
        const session = await driver.open();
        assert.equal(
          await errnoOf(driver.call(session, Ioctl.S_CTRL, control, { id, value: first })),
          Errno.EINVAL,
        );
        const set = await controlIoctl(driver, session, S, [{ id, value: BigInt(first) }]);
        assert.equal(set.errno, Errno.EINVAL);
        assert.equal(await node.getControl(BRIGHTNESS), second);
      });
    }));
});
