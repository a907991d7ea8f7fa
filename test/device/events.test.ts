/** Events, their buffers, and the order in which they reach the guest. */
import assert from 'node:assert/strict';
import { filled, u32, zeros } from './support/bytes.js';
import { EVENT_BYTES, eventPlace, type Guest } from './support/guest.js';
import { onVivid, rig } from './support/rig.js';
import { WRITE } from './support/ring.js';
import {
  CAPTURE,
  Control,
  control,
  controls,
  EINVAL,
  Nr,
  requestBuffers,
  subscription,
  v4l2Buffer,
} from './support/v4l2.js';

const CTRL = 3;
const SEND_INITIAL = 1;
const ALLOW_FEEDBACK = 2;
const EVENT = 144;

onVivid('events', () => {
  let guest: Guest;
  let session: number;

  const boot = async (options = {}) => {
    guest = await rig.guest(options);
    session = await guest.open();
  };
  const subscribe = (type: number, id: number, flags: number) =>
    guest.tell(session, Nr.SUBSCRIBE_EVENT, subscription(type, id, flags));
  const setBrightness = async (value: number) => {
    const array = control(Control.BRIGHTNESS, 0, value);
    const request = Buffer.concat([controls({ count: 1 }), array]);
    assert.equal((await guest.ioctl(session, Nr.S_EXT_CTRLS, request)).status, 0);
  };
  const stream = async (buffers: number) => {
    assert.equal((await guest.ioctl(session, Nr.REQBUFS, requestBuffers(buffers))).status, 0);
    for (let index = 0; index < buffers; index++)
      assert.equal((await guest.ioctl(session, Nr.QBUF, v4l2Buffer({ index }))).status, 0);
    assert.equal((await guest.tell(session, Nr.STREAMON, u32(CAPTURE))).status, 0);
  };
  const isEventOf = (event: Buffer, value: number) => {
    assert.equal(event.length, EVENT);
    assert.deepEqual([event.readUInt32LE(0), event.readUInt32LE(4)], [2, session]);
    assert.deepEqual([event.readUInt32LE(8), event.readUInt32LE(8 + 96)], [CTRL, Control.BRIGHTNESS]);
    assert.equal(event.readInt32LE(8 + 8 + 8), value, 'the value of the control');
  };

  it('the initial event is there before the answer of SUBSCRIBE_EVENT', async () => {
    await boot();
    await setBrightness(77);
    for (let round = 0; round < 20; round++) {
      guest.events.length = 0;
      const { status, length } = await subscribe(CTRL, Control.BRIGHTNESS, SEND_INITIAL);
      assert.deepEqual([status, length], [0, 8]);
      assert.equal(guest.events.length, 1, 'it was in the ring when the answer was');
      isEventOf(guest.events[0]!, 77);
      await guest.tell(session, Nr.UNSUBSCRIBE_EVENT, subscription(CTRL, Control.BRIGHTNESS, 0));
    }
  });

  it('types that nobody has are EINVAL; flags that nobody has mean nothing', async () => {
    await boot();
    for (const type of [0x0800_0001, 0x0800_0000, 0, 4, 6, 7, 0x7fff_ffff, 0xffff_ffff])
      assert.deepEqual((await subscribe(type, 0, 0xffff_ffff)).bytes, u32(EINVAL, 0), `type ${type}`);
    assert.equal((await subscribe(CTRL, 0xffff_ffff, 0)).status, EINVAL);
    assert.equal((await subscribe(CTRL, Control.BRIGHTNESS, 0xffff_ffff)).status, 0);
    assert.equal(guest.events.length, 1, 'SEND_INITIAL is among them');
    for (let again = 0; again < 5; again++)
      assert.equal((await subscribe(CTRL, Control.BRIGHTNESS, 0)).status, 0);
    const unsubscribe = (type: number) =>
      guest.tell(session, Nr.UNSUBSCRIBE_EVENT, subscription(type, 0, 0xffff_ffff));
    assert.deepEqual([(await unsubscribe(0)).status, (await unsubscribe(0x0800_0001)).status], [0, 0]);
    guest.events.length = 0;
    await setBrightness(5);
    await subscribe(CTRL, Control.BRIGHTNESS, SEND_INITIAL);
    assert.equal(guest.events.length, 1, 'nothing came between UNSUBSCRIBE and SUBSCRIBE');
    isEventOf(guest.events[0]!, 5);
  });

  it('without a descriptor in the eventq nothing is lost: events wait for one', async () => {
    await boot({ events: 0 });
    await setBrightness(10);
    assert.equal((await subscribe(CTRL, Control.BRIGHTNESS, SEND_INITIAL | ALLOW_FEEDBACK)).status, 0);
    assert.equal(guest.events.length, 0);
    guest.postEvents(1);
    await guest.until(() => guest.events.length === 1, 'the initial event');
    isEventOf(guest.events[0]!, 10);
    await setBrightness(11);
    await guest.until(() => guest.events.length === 2, 'the next one');
    isEventOf(guest.events[1]!, 11);
  });

  for (const [what, length, flags] of [
    ['one byte too short', EVENT_BYTES - 1, WRITE],
    ['as short as a header', 8, WRITE],
    ['of one byte', 1, WRITE],
    ['for the device to read', EVENT_BYTES, 0],
  ] as const)
    it(`frames are not put into event buffers ${what}: they wait for good ones`, async () => {
      await boot({ events: 0 });
      guest.reposts = false;
      guest.vmm.ram.write(eventPlace(0), filled(16 * 1024, 0x99));
      guest.postEvents(8, length, flags);
      await stream(4);
      // Bad buffers come back empty. Only those that the device has looked at come back.
      await guest.until(() => guest.eventq.returned.length > 0, 'a bad event buffer to come back');
      for (const returned of guest.eventq.returned) assert.equal(returned.length, 0);
      assert.ok(guest.vmm.ram.read(eventPlace(0), 8 * 1024).equals(filled(8 * 1024, 0x99)));
      guest.eventq.returned.length = 0;
      guest.postEvents(16);
      await guest.until(
        () => guest.eventq.returned.filter((each) => each.length === EVENT_BYTES).length === 4,
        'frames',
      );
      const frames = guest.eventq.returned.filter((each) => each.length > 0);
      const indices = frames.map(({ head }) =>
        guest.vmm.ram.read(eventPlace(head), EVENT_BYTES).readUInt32LE(8),
      );
      assert.deepEqual(indices.sort(), [0, 1, 2, 3], 'each buffer once');
      guest.eventq.returned.length = 0;
      guest.reposts = true;
      assert.equal((await guest.ioctl(session, Nr.QBUF, v4l2Buffer({ index: 2 }))).status, 0);
      await guest.until(() => guest.events.length === 1, 'the stream to go on');
    });

  it('event buffers that are malformed chains come back, and frames wait', async () => {
    await boot({ events: 0 });
    guest.reposts = false;
    guest.eventq.describe(20, { address: 0x8000_0000, length: EVENT_BYTES, flags: WRITE });
    guest.eventq.offer(20, 300, 20, 20);
    guest.eventq.kick();
    await stream(2);
    await guest.until(() => guest.eventq.returned.length >= 2, 'bad ones to come back');
    guest.postEvents(4);
    await guest.until(
      () => guest.eventq.returned.filter(({ length }) => length === EVENT_BYTES).length === 2,
      'frames',
    );
    assert.ok(guest.eventq.returned.every(({ length }) => length === 0 || length === EVENT_BYTES));
  });

  it('event buffers cut into bytes are filled all the same', async () => {
    await boot({ events: 0 });
    guest.reposts = false;
    const slots = Array.from({ length: 200 }, (_, n) => n);
    for (const slot of slots) {
      const last = slot === 199;
      const length = last ? EVENT_BYTES - 199 * 3 : 3;
      guest.eventq.describe(
        slot,
        { address: eventPlace(0) + 3 * slot, length, flags: WRITE | (last ? 0 : 1) },
        slot + 1,
      );
    }
    guest.eventq.offer(0);
    guest.eventq.kick();
    await stream(1);
    await guest.until(() => guest.eventq.returned.length === 1, 'a frame');
    assert.deepEqual(guest.eventq.returned, [{ head: 0, length: EVENT_BYTES }]);
    const event = guest.vmm.ram.read(eventPlace(0), EVENT_BYTES);
    assert.deepEqual(
      [event.readUInt32LE(0), event.readUInt32LE(4), event.readUInt32LE(12)],
      [1, session, CAPTURE],
    );
  });

  it('after STREAMOFF, REQBUFS(0) and CLOSE no event of theirs comes any more', async () => {
    await boot();
    for (let round = 0; round < 5; round++) {
      await stream(4);
      await guest.until(() => guest.events.length > 0, 'a frame');
      assert.equal((await guest.tell(session, Nr.STREAMOFF, u32(CAPTURE))).status, 0);
      guest.events.length = 0;
      assert.equal((await guest.ioctl(session, Nr.REQBUFS, requestBuffers(0))).status, 0);
    }
    await subscribe(CTRL, Control.BRIGHTNESS, ALLOW_FEEDBACK);
    await stream(4);
    await guest.shut(session);
    guest.events.length = 0;
    session = await guest.open();
    await setBrightness(3);
    await guest.ioctl(session, Nr.G_FMT, zeros(208));
    assert.deepEqual(guest.events, []);
  });

  it('a guest that never gives event buffers back gets its answers all the same, within the barrier', async () => {
    await boot();
    guest.reposts = false;
    await stream(4);
    await guest.until(() => guest.eventq.returned.length > 0, 'a frame');
    for (const command of [Nr.STREAMOFF, Nr.STREAMON]) {
      const started = performance.now();
      assert.equal((await guest.tell(session, command, u32(CAPTURE))).status, 0);
      assert.ok(performance.now() - started < 2000, 'the barrier is bounded');
    }
  });

  it('an eventq that is broken leaves the commandq alone', async () => {
    await boot();
    const { eventq } = guest;
    await stream(2);
    await guest.until(() => guest.events.length === 2, 'frames');
    guest.reposts = false;
    eventq.publish((eventq.available + 1000) & 0xffff);
    eventq.kick();
    assert.equal((await guest.ioctl(session, Nr.QBUF, v4l2Buffer({ index: 0 }))).status, 0);
    assert.equal((await guest.tell(session, Nr.STREAMOFF, u32(CAPTURE))).status, 0);
    await guest.shut(session);
    session = await guest.open();
  });
});
