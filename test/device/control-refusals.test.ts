/** G/S/TRY_EXT_CTRLS: errors with the request sent back, and arrays that no driver sends. */
import assert from 'node:assert/strict';
import { filled, join, u32, zeros } from './support/bytes.js';
import { ControlAsker, echoed, HEADER, ONE, POINTER } from './support/control-array.js';
import type { Guest } from './support/guest.js';
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

onVivid('refused controls', () => {
  let guest: Guest;
  let session: number;
  let asker: ControlAsker;

  beforeEach(async () => {
    guest = await rig.guest();
    session = await guest.open();
    asker = new ControlAsker(guest, session);
  });

  it('EACCES with everything that was sent', async () => {
    const readOnly = control(Control.READ_ONLY, 0, 7);
    echoed(await asker.askOne(Nr.S_EXT_CTRLS, readOnly), EACCES, 1, readOnly);
    echoed(await asker.askOne(Nr.TRY_EXT_CTRLS, readOnly), EACCES, 0, readOnly);
    const button = control(Control.BUTTON, 0, 9);
    echoed(await asker.askOne(Nr.G_EXT_CTRLS, button), EACCES, 1, button);
    await asker.goesOn();
  });

  it('EINVAL for a control that nobody has, with its index where that is told', async () => {
    const unknown = control(0x0098_0fff, 0, 1);
    echoed(await asker.askOne(Nr.G_EXT_CTRLS, unknown), EINVAL, 1, unknown);
    echoed(await asker.askOne(Nr.TRY_EXT_CTRLS, unknown), EINVAL, 0, unknown);
    await asker.goesOn();
  });

  it('ERANGE for a value that the control does not take', async () => {
    const tooMuch = control(0x0098_f904, 0, 99);
    echoed(await asker.askOne(Nr.TRY_EXT_CTRLS, tooMuch), ERANGE, 0, tooMuch);
    await asker.goesOn();
  });

  it('ENOSPC says the size that is needed, and leaves the payload alone', async () => {
    const memory = guest.place(filled(64, 0x77));
    for (const [id, offered, needed, errorIdx] of [
      [Control.STRING, 2, 5, 0],
      [Control.U8_ARRAY, 119, 120, 1],
      [Control.U16_MATRIX, 1, 256, 1],
    ] as const) {
      const list = Buffer.concat([sg(memory, Math.min(offered, 64)), sg(memory, Math.max(0, offered - 64))]);
      const reply = await asker.askOne(Nr.G_EXT_CTRLS, control(id, offered, POINTER), list);
      echoed(reply, ENOSPC, errorIdx, control(id, needed, POINTER));
      assert.ok(guest.vmm.ram.read(memory, 64).equals(filled(64, 0x77)));
    }
    await asker.goesOn();
  });

  it('1024 controls are taken, 1025 and 2^32-1 are not, nor more than came', async () => {
    const many = (count: number) => Buffer.concat(Array(count).fill(control(Control.BRIGHTNESS)));
    const most = await asker.ask(Nr.G_EXT_CTRLS, controls({ count: 1024 }), many(1024));
    assert.deepEqual([most.status, most.length], [0, 8 + HEADER + 1024 * ONE]);
    for (const [count, sent] of [
      [1025, 1025],
      [1025, 0],
      [0xffff_ffff, 1],
      [0x8000_0000, 3],
      [0xccc_cccd, 1],
      [2, 1],
    ] as const) {
      const reply = await asker.ask(Nr.G_EXT_CTRLS, controls({ count, pointer: POINTER }), many(sent));
      assert.equal(reply.status, EINVAL, `count ${count}`);
      assert.ok(reply.length >= 8 + HEADER, 'the driver loses the errno of a shorter answer');
      assert.equal(reply.payload.readUInt32LE(4), count);
      assert.equal(reply.payload.readBigUInt64LE(24), POINTER);
    }
    await asker.goesOn();
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
        const reply = await asker.askOne(nr, one, list());
        assert.deepEqual([reply.status, reply.length], [errno, 8 + HEADER + ONE], `a list ${what}`);
        assert.deepEqual(reply.one, one, `a list ${what}`);
        assert.equal(reply.header.readBigUInt64LE(24), POINTER);
      }
    await asker.goesOn();
  });

  it('payloads of 1 MiB in all, and no more: refused before anything is allocated', async () => {
    const peak = () => rig.daemon.memory('VmHWM');
    const array = (sizes: readonly number[]) =>
      Buffer.concat(sizes.map((size) => control(Control.U8_ARRAY, size)));
    const pieces = Array.from({ length: 16 }, () => sg(0x4000_0000, 0x1_0000));
    const all = await asker.ask(
      Nr.G_EXT_CTRLS,
      controls({ count: 1 }),
      array([0x10_0000]),
      Buffer.concat(pieces),
    );
    assert.equal(all.status, 0, 'an array may be offered more than it needs');
    const before = peak();
    for (const sizes of [[0x10_0001], [0x8_0000, 0x8_0001], [0xffff_ffff], Array(256).fill(0xffff_ffff)]) {
      const lists = Buffer.concat(sizes.map((size: number) => sg(0x4000_0000, size)));
      const reply = await asker.ask(Nr.S_EXT_CTRLS, controls({ count: sizes.length }), array(sizes), lists);
      assert.deepEqual([reply.status, reply.length], [ENOMEM, 8 + HEADER + sizes.length * ONE]);
    }
    assert.ok(peak() - before < 16 * 1024, `the daemon grew by ${peak() - before} KiB`);
    await asker.goesOn();
  });

  it('requests are refused, whatever descriptor they name', async () => {
    const foreign = Object.values(FOREIGN);
    const before = foreign.map((fd) => rig.daemon.descriptor(fd));
    for (const requestFd of [...foreign, 0, 1, 2, 0xffff_ffff]) {
      const header = controls({ which: 0x0f01_0000, count: 1, requestFd, pointer: POINTER });
      const reply = await asker.ask(Nr.S_EXT_CTRLS, header, control(Control.BRIGHTNESS, 0, 1));
      assert.deepEqual([reply.status, reply.length], [EINVAL, 8 + HEADER + ONE]);
      assert.equal(reply.payload.readUInt32LE(12), requestFd, "the guest's own descriptor comes back");
    }
    // Without `which` the descriptor has no meaning, and the host never gets it.
    const ignored = controls({ count: 1, requestFd: FOREIGN.dmabuf });
    assert.equal((await asker.ask(Nr.G_EXT_CTRLS, ignored, control(Control.BRIGHTNESS))).status, 0);
    assert.deepEqual(
      foreign.map((fd) => rig.daemon.descriptor(fd)),
      before,
    );
    await asker.goesOn();
  });

  it('every value of `which` is answered', async () => {
    for (const which of [0x0098_0000, 0x0f00_0000, 0x0f02_0000, 0x0f03_0000, 0x0f0f_0000, 1, 0xffff_ffff]) {
      const reply = await asker.askOne(Nr.G_EXT_CTRLS, control(Control.BRIGHTNESS), undefined, which);
      assert.ok([0, EINVAL, EACCES].includes(reply.status), `which ${which}: ${reply.status}`);
      assert.equal(reply.length, 8 + HEADER + ONE);
      // The kernel changes everything but the class.
      if (reply.status === 0) assert.equal(reply.header.readUInt32LE(0), (which & 0x0fff_0000) >>> 0);
    }
    await asker.goesOn();
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
    await asker.goesOn();
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
    await asker.goesOn();
  });
});
