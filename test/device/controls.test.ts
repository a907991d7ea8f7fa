/** G/S/TRY_EXT_CTRLS: arrays, payloads and SG lists that the driver takes. */
import assert from 'node:assert/strict';
import { filled, join, u32, zeros } from './support/bytes.js';
import { ControlAsker, echoed, HEADER, POINTER } from './support/control-array.js';
import type { Guest } from './support/guest.js';
import { onVivid, rig } from './support/rig.js';
import { Control, control, controls, EINVAL, ENOSPC, Nr, sg } from './support/v4l2.js';

onVivid('extended controls', () => {
  let guest: Guest;
  let session: number;
  let asker: ControlAsker;

  beforeEach(async () => {
    guest = await rig.guest();
    session = await guest.open();
    asker = new ControlAsker(guest, session);
  });

  it('a payload in pieces that start in the middle of pages goes in and comes out', async () => {
    const places = [0x4003_0ffb, 0x4020_0000 - 3, 0x1_0000_0001];
    const lengths = [7, 100, 13];
    const list = (...extra: number[]) =>
      join(...places.map((at, n) => sg(at, lengths[n]! + (extra[n] ?? 0))));
    const value = Buffer.from(Array.from({ length: 120 }, (_, n) => 16 + (n % 16)));
    const scattered = (bytes: Buffer) => {
      let at = 0;
      for (const [n, length] of lengths.entries())
        for (let byte = 0; byte < length; byte++)
          guest.vmm.ram.write(places[n]! + byte, bytes.subarray(at++, at));
    };
    const gathered = () =>
      Buffer.concat(
        lengths.flatMap((length, n) =>
          Array.from({ length }, (_, byte) => guest.vmm.ram.read(places[n]! + byte, 1)),
        ),
      );
    scattered(value);
    const one = control(Control.U8_ARRAY, 120, POINTER);
    echoed(await asker.askOne(Nr.S_EXT_CTRLS, one, list()), 0, 1, one);
    scattered(filled(120, 0xee));
    echoed(await asker.askOne(Nr.G_EXT_CTRLS, one, list()), 0, 1, one);
    assert.deepEqual(gathered(), value);
    // The last entry may name more bytes than the payload has.
    scattered(filled(120, 0xee));
    echoed(await asker.askOne(Nr.G_EXT_CTRLS, one, list(0, 0, 1000)), 0, 1, one);
    assert.deepEqual(gathered(), value);
    assert.ok(guest.vmm.ram.read(places[2]! + 13, 100).equals(zeros(100)), 'beyond the payload');
    await asker.goesOn();
  });

  it('strings and arrays of a length of their own', async () => {
    const memory = guest.place(join(Buffer.from('abc\0'), filled(60, 0x55)));
    const set = control(Control.STRING, 4, POINTER);
    assert.equal((await asker.askOne(Nr.S_EXT_CTRLS, set, sg(memory, 4))).status, 0);
    guest.vmm.ram.write(memory, filled(64, 0x55));
    const got = await asker.askOne(Nr.G_EXT_CTRLS, control(Control.STRING, 5, POINTER), sg(memory, 5));
    assert.equal(got.status, 0);
    assert.ok(
      guest.vmm.ram.read(memory, 6).equals(join(Buffer.from('abc\0'), filled(2, 0x55)).subarray(0, 6)),
    );
    guest.vmm.ram.write(memory, u32(11, 12, 13));
    const array = control(Control.DYNAMIC_ARRAY, 12, POINTER);
    assert.equal((await asker.askOne(Nr.S_EXT_CTRLS, array, sg(memory, 12))).status, 0);
    guest.vmm.ram.write(memory, zeros(64));
    const room = control(Control.DYNAMIC_ARRAY, 64, POINTER);
    const read = await asker.askOne(Nr.G_EXT_CTRLS, room, sg(memory, 64));
    assert.deepEqual([read.status, read.one], [0, control(Control.DYNAMIC_ARRAY, 12, POINTER)]);
    assert.ok(guest.vmm.ram.read(memory, 16).equals(u32(11, 12, 13, 0)));
    await asker.goesOn();
  });

  it('a size on an integer control means nothing: the value is a value, the memory is not touched', async () => {
    const memory = guest.place(filled(8, 0x66));
    for (const [id, size, value] of [
      [Control.BRIGHTNESS, 4, 99n],
      [Control.INTEGER64, 8, 0x1122_3344_5566_7788n],
    ] as const) {
      const one = control(id, size, value);
      echoed(await asker.askOne(Nr.S_EXT_CTRLS, one, sg(memory, size)), 0, 1, one);
      const read = await asker.askOne(Nr.G_EXT_CTRLS, control(id, size), sg(memory, size));
      assert.deepEqual([read.status, read.one], [0, one]);
      const plain = await asker.askOne(Nr.G_EXT_CTRLS, control(id));
      assert.equal(plain.one.readBigInt64LE(12), value);
    }
    assert.ok(guest.vmm.ram.read(memory, 8).equals(filled(8, 0x66)));
    await asker.goesOn();
  });

  it('an integer control that is called by its neighbour gets no address of the host', async () => {
    // With NEXT_COMPOUND, the control after the 64-bit integer is an array: QUERY_EXT_CTRL with this id reports a
    // payload. But the kernel masks the flag in S_EXT_CTRLS and takes the union for the value.
    const memory = guest.place(filled(64, 0x66));
    const before = (await asker.askOne(Nr.G_EXT_CTRLS, control(Control.INTEGER64))).one.readBigInt64LE(12);
    for (const flag of [0x4000_0000, 0x8000_0000, 0xc000_0000, 0x1000_0000]) {
      const id = (Control.INTEGER64 | flag) >>> 0;
      const reply = await asker.askOne(Nr.S_EXT_CTRLS, control(id, 8, 0x55n), sg(memory, 8));
      const after = (await asker.askOne(Nr.G_EXT_CTRLS, control(Control.INTEGER64))).one.readBigInt64LE(12);
      assert.ok(
        after === (reply.status === 0 ? 0x55n : before),
        `flag ${flag.toString(16)}: 0x${after.toString(16)}`,
      );
      assert.equal(reply.one.readBigUInt64LE(12), 0x55n);
    }
    await asker.goesOn();
  });

  it('a payload control without a payload is asked for one, and nothing is followed', async () => {
    for (const id of [Control.U8_ARRAY, Control.STRING, Control.U16_MATRIX]) {
      const reply = await asker.askOne(Nr.G_EXT_CTRLS, control(id, 0, POINTER));
      assert.equal(reply.status, ENOSPC);
      assert.equal(reply.one.readBigUInt64LE(12), POINTER);
      for (const flag of [0x4000_0000, 0x8000_0000]) {
        const disguised = await asker.askOne(
          Nr.G_EXT_CTRLS,
          control((id | flag) >>> 0, 120, POINTER),
          sg(0x4003_0000, 120),
        );
        assert.equal(disguised.one.readBigUInt64LE(12), POINTER);
      }
    }
    await asker.goesOn();
  });

  it('count 0 is a question that has an answer', async () => {
    const reply = await asker.ask(Nr.G_EXT_CTRLS, controls({ count: 0, pointer: POINTER }), zeros(0));
    assert.deepEqual([reply.status, reply.length], [0, 8 + HEADER]);
    assert.equal(reply.payload.readBigUInt64LE(24), POINTER);
    const unknownClass = await asker.ask(
      Nr.G_EXT_CTRLS,
      controls({ count: 0, which: 0x00ff_0000 }),
      zeros(0),
    );
    assert.deepEqual([unknownClass.status, unknownClass.length], [EINVAL, 8 + HEADER]);
    await asker.goesOn();
  });
});
