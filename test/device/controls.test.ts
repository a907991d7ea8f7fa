/** G/S/TRY_EXT_CTRLS: arrays, SG lists, and errors with the request sent back. */
import assert from 'node:assert/strict';
import { filled, join, u32, zeros } from './support/bytes.js';
import type { Guest, Reply } from './support/guest.js';
import { FOREIGN, onVivid, rig } from './support/rig.js';
import {
  Control,
  control,
  controls,
  EACCES,
  EFAULT,
  EINVAL,
  ENOMEM,
  ENOSPC,
  ERANGE,
  Nr,
  sg,
} from './support/v4l2.js';

const HEADER = 32;
const ONE = 20;
const POINTER = 0x7ffe_dead_beef_f00dn;

onVivid('extended controls', () => {
  let guest: Guest;
  let session: number;

  beforeEach(async () => {
    guest = await rig.guest();
    session = await guest.open();
  });

  /** One command: the header, an array, SG lists. The answer has room for header and array. */
  const ask = (nr: number, header: Buffer, array: Buffer, lists: Buffer = zeros(0)): Promise<Reply> =>
    guest.command(join(u32(3, 0, session, nr), header, array, lists), 8 + header.length + array.length);

  /** A single control. */
  const askOne = async (nr: number, one: Buffer, lists?: Buffer, which = 0) => {
    const reply = await ask(nr, controls({ count: 1, which, pointer: POINTER }), one, lists);
    return { ...reply, header: reply.payload.subarray(0, HEADER), one: reply.payload.subarray(HEADER) };
  };

  /** Checks that header and array came back with the guest's pointer in them. `errorIdx` is the kernel's. */
  const echoed = (
    reply: Awaited<ReturnType<typeof askOne>>,
    status: number,
    errorIdx: number,
    one: Buffer,
  ) => {
    assert.deepEqual([reply.status, reply.length], [status, 8 + HEADER + ONE]);
    if (status !== 0) assert.equal(reply.header.readUInt32LE(8), errorIdx, 'error_idx');
    assert.equal(reply.header.readBigUInt64LE(24), POINTER);
    assert.deepEqual(reply.one, one);
  };

  const goesOn = async () => {
    const reply = await askOne(Nr.G_EXT_CTRLS, control(Control.BRIGHTNESS));
    assert.deepEqual([reply.status, reply.length], [0, 8 + HEADER + ONE]);
  };

  it('EACCES with everything that was sent', async () => {
    const readOnly = control(Control.READ_ONLY, 0, 7);
    echoed(await askOne(Nr.S_EXT_CTRLS, readOnly), EACCES, 1, readOnly);
    echoed(await askOne(Nr.TRY_EXT_CTRLS, readOnly), EACCES, 0, readOnly);
    const button = control(Control.BUTTON, 0, 9);
    echoed(await askOne(Nr.G_EXT_CTRLS, button), EACCES, 1, button);
    await goesOn();
  });

  it('EINVAL for a control that nobody has, with its index where that is told', async () => {
    const unknown = control(0x0098_0fff, 0, 1);
    echoed(await askOne(Nr.G_EXT_CTRLS, unknown), EINVAL, 1, unknown);
    echoed(await askOne(Nr.TRY_EXT_CTRLS, unknown), EINVAL, 0, unknown);
    await goesOn();
  });

  it('ERANGE for a value that the control does not take', async () => {
    const tooMuch = control(0x0098_f904, 0, 99);
    echoed(await askOne(Nr.TRY_EXT_CTRLS, tooMuch), ERANGE, 0, tooMuch);
    await goesOn();
  });

  it('ENOSPC says the size that is needed, and leaves the payload alone', async () => {
    const memory = guest.place(filled(64, 0x77));
    for (const [id, offered, needed, errorIdx] of [
      [Control.STRING, 2, 5, 0],
      [Control.U8_ARRAY, 119, 120, 1],
      [Control.U16_MATRIX, 1, 256, 1],
    ] as const) {
      const list = Buffer.concat([sg(memory, Math.min(offered, 64)), sg(memory, Math.max(0, offered - 64))]);
      const reply = await askOne(Nr.G_EXT_CTRLS, control(id, offered, POINTER), list);
      echoed(reply, ENOSPC, errorIdx, control(id, needed, POINTER));
      assert.ok(guest.vmm.ram.read(memory, 64).equals(filled(64, 0x77)));
    }
    await goesOn();
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
    echoed(await askOne(Nr.S_EXT_CTRLS, one, list()), 0, 1, one);
    scattered(filled(120, 0xee));
    echoed(await askOne(Nr.G_EXT_CTRLS, one, list()), 0, 1, one);
    assert.deepEqual(gathered(), value);
    // The last entry may name more bytes than the payload has.
    scattered(filled(120, 0xee));
    echoed(await askOne(Nr.G_EXT_CTRLS, one, list(0, 0, 1000)), 0, 1, one);
    assert.deepEqual(gathered(), value);
    assert.ok(guest.vmm.ram.read(places[2]! + 13, 100).equals(zeros(100)), 'beyond the payload');
    await goesOn();
  });

  it('strings and arrays of a length of their own', async () => {
    const memory = guest.place(join(Buffer.from('abc\0'), filled(60, 0x55)));
    const set = control(Control.STRING, 4, POINTER);
    assert.equal((await askOne(Nr.S_EXT_CTRLS, set, sg(memory, 4))).status, 0);
    guest.vmm.ram.write(memory, filled(64, 0x55));
    const got = await askOne(Nr.G_EXT_CTRLS, control(Control.STRING, 5, POINTER), sg(memory, 5));
    assert.equal(got.status, 0);
    assert.ok(
      guest.vmm.ram.read(memory, 6).equals(join(Buffer.from('abc\0'), filled(2, 0x55)).subarray(0, 6)),
    );
    guest.vmm.ram.write(memory, u32(11, 12, 13));
    const array = control(Control.DYNAMIC_ARRAY, 12, POINTER);
    assert.equal((await askOne(Nr.S_EXT_CTRLS, array, sg(memory, 12))).status, 0);
    guest.vmm.ram.write(memory, zeros(64));
    const room = control(Control.DYNAMIC_ARRAY, 64, POINTER);
    const read = await askOne(Nr.G_EXT_CTRLS, room, sg(memory, 64));
    assert.deepEqual([read.status, read.one], [0, control(Control.DYNAMIC_ARRAY, 12, POINTER)]);
    assert.ok(guest.vmm.ram.read(memory, 16).equals(u32(11, 12, 13, 0)));
    await goesOn();
  });

  it('a size on an integer control means nothing: the value is a value, the memory is not touched', async () => {
    const memory = guest.place(filled(8, 0x66));
    for (const [id, size, value] of [
      [Control.BRIGHTNESS, 4, 99n],
      [Control.INTEGER64, 8, 0x1122_3344_5566_7788n],
    ] as const) {
      const one = control(id, size, value);
      echoed(await askOne(Nr.S_EXT_CTRLS, one, sg(memory, size)), 0, 1, one);
      const read = await askOne(Nr.G_EXT_CTRLS, control(id, size), sg(memory, size));
      assert.deepEqual([read.status, read.one], [0, one]);
      const plain = await askOne(Nr.G_EXT_CTRLS, control(id));
      assert.equal(plain.one.readBigInt64LE(12), value);
    }
    assert.ok(guest.vmm.ram.read(memory, 8).equals(filled(8, 0x66)));
    await goesOn();
  });

  it('an integer control that is called by its neighbour gets no address of the host', async () => {
    // With NEXT_COMPOUND, the control after the 64-bit integer is an array: QUERY_EXT_CTRL with this id reports a
    // payload. But the kernel masks the flag in S_EXT_CTRLS and takes the union for the value.
    const memory = guest.place(filled(64, 0x66));
    const before = (await askOne(Nr.G_EXT_CTRLS, control(Control.INTEGER64))).one.readBigInt64LE(12);
    for (const flag of [0x4000_0000, 0x8000_0000, 0xc000_0000, 0x1000_0000]) {
      const id = (Control.INTEGER64 | flag) >>> 0;
      const reply = await askOne(Nr.S_EXT_CTRLS, control(id, 8, 0x55n), sg(memory, 8));
      const after = (await askOne(Nr.G_EXT_CTRLS, control(Control.INTEGER64))).one.readBigInt64LE(12);
      assert.ok(
        after === (reply.status === 0 ? 0x55n : before),
        `flag ${flag.toString(16)}: 0x${after.toString(16)}`,
      );
      assert.equal(reply.one.readBigUInt64LE(12), 0x55n);
    }
    await goesOn();
  });

  it('a payload control without a payload is asked for one, and nothing is followed', async () => {
    for (const id of [Control.U8_ARRAY, Control.STRING, Control.U16_MATRIX]) {
      const reply = await askOne(Nr.G_EXT_CTRLS, control(id, 0, POINTER));
      assert.equal(reply.status, ENOSPC);
      assert.equal(reply.one.readBigUInt64LE(12), POINTER);
      for (const flag of [0x4000_0000, 0x8000_0000]) {
        const disguised = await askOne(
          Nr.G_EXT_CTRLS,
          control((id | flag) >>> 0, 120, POINTER),
          sg(0x4003_0000, 120),
        );
        assert.equal(disguised.one.readBigUInt64LE(12), POINTER);
      }
    }
    await goesOn();
  });

  it('count 0 is a question that has an answer', async () => {
    const reply = await ask(Nr.G_EXT_CTRLS, controls({ count: 0, pointer: POINTER }), zeros(0));
    assert.deepEqual([reply.status, reply.length], [0, 8 + HEADER]);
    assert.equal(reply.payload.readBigUInt64LE(24), POINTER);
    const unknownClass = await ask(Nr.G_EXT_CTRLS, controls({ count: 0, which: 0x00ff_0000 }), zeros(0));
    assert.deepEqual([unknownClass.status, unknownClass.length], [EINVAL, 8 + HEADER]);
    await goesOn();
  });

  it('1024 controls are taken, 1025 and 2^32-1 are not, nor more than came', async () => {
    const many = (count: number) => Buffer.concat(Array(count).fill(control(Control.BRIGHTNESS)));
    const most = await ask(Nr.G_EXT_CTRLS, controls({ count: 1024 }), many(1024));
    assert.deepEqual([most.status, most.length], [0, 8 + HEADER + 1024 * ONE]);
    for (const [count, sent] of [
      [1025, 1025],
      [1025, 0],
      [0xffff_ffff, 1],
      [0x8000_0000, 3],
      [0xccc_cccd, 1],
      [2, 1],
    ] as const) {
      const reply = await ask(Nr.G_EXT_CTRLS, controls({ count, pointer: POINTER }), many(sent));
      assert.equal(reply.status, EINVAL, `count ${count}`);
      assert.ok(reply.length >= 8 + HEADER, 'the driver loses the errno of a shorter answer');
      assert.equal(reply.payload.readUInt32LE(4), count);
      assert.equal(reply.payload.readBigUInt64LE(24), POINTER);
    }
    await goesOn();
  });

  /** SG lists of 120 bytes whose entries are not in guest memory. */
  const badLists: Record<string, [number, () => Buffer]> = {
    'outside of guest memory': [EFAULT, () => sg(0x8000_0000, 120)],
    'at address 0': [EFAULT, () => sg(0, 120)],
    'that ends outside': [EFAULT, () => join(sg(0x4003_0000, 100), sg(0x4040_0000 - 10, 20))],
    'that wraps around': [EINVAL, () => sg((1n << 64n) - 60n, 120)],
    'beyond 2^53': [EINVAL, () => sg(1n << 60n, 120)],
    'that is too short': [EINVAL, () => join(sg(0x4003_0000, 60), sg(0x4003_1000, 59))],
    'that is missing': [EINVAL, () => zeros(0)],
    'that is cut off': [EINVAL, () => sg(0x4003_0000, 120).subarray(0, 15)],
    'of empty entries': [EINVAL, () => Buffer.concat(Array(50).fill(sg(0x4003_0000, 0)))],
  };

  it('SG lists that lead nowhere are refused, with the echo', async () => {
    const one = control(Control.U8_ARRAY, 120, POINTER);
    for (const [what, [errno, list]] of Object.entries(badLists))
      for (const nr of [Nr.G_EXT_CTRLS, Nr.S_EXT_CTRLS, Nr.TRY_EXT_CTRLS]) {
        const reply = await askOne(nr, one, list());
        assert.deepEqual([reply.status, reply.length], [errno, 8 + HEADER + ONE], `a list ${what}`);
        assert.deepEqual(reply.one, one, `a list ${what}`);
        assert.equal(reply.header.readBigUInt64LE(24), POINTER);
      }
    await goesOn();
  });

  it('payloads of 1 MiB in all, and no more: refused before anything is allocated', async () => {
    const peak = () => rig.daemon.memory('VmHWM');
    const array = (sizes: readonly number[]) =>
      Buffer.concat(sizes.map((size) => control(Control.U8_ARRAY, size)));
    const pieces = Array.from({ length: 16 }, () => sg(0x4000_0000, 0x1_0000));
    const all = await ask(Nr.G_EXT_CTRLS, controls({ count: 1 }), array([0x10_0000]), Buffer.concat(pieces));
    assert.equal(all.status, 0, 'an array may be offered more than it needs');
    const before = peak();
    for (const sizes of [[0x10_0001], [0x8_0000, 0x8_0001], [0xffff_ffff], Array(256).fill(0xffff_ffff)]) {
      const lists = Buffer.concat(sizes.map((size: number) => sg(0x4000_0000, size)));
      const reply = await ask(Nr.S_EXT_CTRLS, controls({ count: sizes.length }), array(sizes), lists);
      assert.deepEqual([reply.status, reply.length], [ENOMEM, 8 + HEADER + sizes.length * ONE]);
    }
    assert.ok(peak() - before < 16 * 1024, `the daemon grew by ${peak() - before} KiB`);
    await goesOn();
  });

  it('requests are refused, whatever descriptor they name', async () => {
    const foreign = Object.values(FOREIGN);
    const before = foreign.map((fd) => rig.daemon.descriptor(fd));
    for (const requestFd of [...foreign, 0, 1, 2, 0xffff_ffff]) {
      const header = controls({ which: 0x0f01_0000, count: 1, requestFd, pointer: POINTER });
      const reply = await ask(Nr.S_EXT_CTRLS, header, control(Control.BRIGHTNESS, 0, 1));
      assert.deepEqual([reply.status, reply.length], [EINVAL, 8 + HEADER + ONE]);
      assert.equal(reply.payload.readUInt32LE(12), requestFd, "the guest's own descriptor comes back");
    }
    // Without `which` the descriptor has no meaning, and the host never gets it.
    const ignored = controls({ count: 1, requestFd: FOREIGN.dmabuf });
    assert.equal((await ask(Nr.G_EXT_CTRLS, ignored, control(Control.BRIGHTNESS))).status, 0);
    assert.deepEqual(
      foreign.map((fd) => rig.daemon.descriptor(fd)),
      before,
    );
    await goesOn();
  });

  it('every value of `which` is answered', async () => {
    for (const which of [0x0098_0000, 0x0f00_0000, 0x0f02_0000, 0x0f03_0000, 0x0f0f_0000, 1, 0xffff_ffff]) {
      const reply = await askOne(Nr.G_EXT_CTRLS, control(Control.BRIGHTNESS), undefined, which);
      assert.ok([0, EINVAL, EACCES].includes(reply.status), `which ${which}: ${reply.status}`);
      assert.equal(reply.length, 8 + HEADER + ONE);
      // The kernel changes everything but the class.
      if (reply.status === 0) assert.equal(reply.header.readUInt32LE(0), (which & 0x0fff_0000) >>> 0);
    }
    await goesOn();
  });

  it('a writable part of any length gets the prefix that fits', async () => {
    const command = join(
      u32(3, 0, session, Nr.G_EXT_CTRLS),
      controls({ count: 1 }),
      control(Control.BRIGHTNESS),
    );
    const { bytes: whole } = await guest.command(command, 60);
    for (let room = 0; room < 60; room += 3)
      assert.deepEqual((await guest.command(command, room)).bytes, whole.subarray(0, room));
    await goesOn();
  });

  it('random headers and arrays are answered', async () => {
    let state = 20260922;
    const random = () => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return state;
    };
    for (let round = 0; round < 150; round++) {
      const bytes = Buffer.from(Array.from({ length: 16 + (random() % 300) }, () => random() >>> 16));
      if (round % 2) bytes.set(u32(0, 1 + (random() % 3)));
      const nr = Nr.G_EXT_CTRLS + (round % 3);
      const { length } = await guest.command(join(u32(3, 0, session, nr), bytes), 8 + bytes.length);
      assert.ok(length >= 8);
    }
    await goesOn();
  });
});
