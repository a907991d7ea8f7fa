/** CMD_OPEN to CMD_MUNMAP in the layouts that drivers send, and in all other layouts. */
import assert from 'node:assert/strict';
import { filled, join, u32, u64, zeros } from './support/bytes.js';
import type { Guest } from './support/guest.js';
import { onVivid, rig } from './support/rig.js';
import { EBADF, EINVAL, EMFILE, ENOTTY, Nr, requestBuffers } from './support/v4l2.js';

onVivid('commands', () => {
  let guest: Guest;
  let session: number;

  beforeEach(async () => {
    guest = await rig.guest();
    session = await guest.open();
  });

  /** Checks that the session of the test still works, and that a new one does. */
  const goesOn = async () => {
    const answer = await guest.ioctl(session, Nr.G_FMT, u32(1, ...Array(51).fill(0)));
    assert.deepEqual([answer.status, answer.length], [0, 8 + 208]);
    await guest.shut(await guest.open());
  };

  it('OPEN gives growing identifiers, CLOSE with a dirty reserved word closes, and comes back without a byte', async () => {
    const [second, third] = [await guest.open(), await guest.open()];
    assert.ok(session < second && second < third);
    const closed = await guest.command(u32(2, 0xffff_ffff, second, 0xdead_beef), 0);
    assert.equal(closed.length, 0);
    assert.equal((await guest.ioctl(second, Nr.G_FMT, zeros(208))).status, EBADF);
    assert.ok((await guest.open()) > third, 'an identifier is not given again');
    await goesOn();
  });

  it('CLOSE with a writable part answers in it; twice is EBADF', async () => {
    const second = await guest.open();
    assert.deepEqual((await guest.command(u32(2, 0, second, 0), 8)).bytes, u32(0, 0));
    assert.deepEqual((await guest.command(u32(2, 0, second, 0), 8)).bytes, u32(EBADF, 0));
    await goesOn();
  });

  it('unknown commands are answered ENOTTY in 8 bytes', async () => {
    for (const command of [0, 6, 7, 0xff, 0x100, 0x103, 0x8000_0003, 0xffff_ffff])
      assert.deepEqual((await guest.command(u32(command, 0, session, 4), 300)).bytes, u32(ENOTTY, 0));
    await goesOn();
  });

  it('commands that are cut short are answered EINVAL', async () => {
    const whole: [number, Buffer][] = [
      [16, u32(2, 0, session, 0)],
      [16, u32(3, 0, session, Nr.G_FMT)],
      [20, u32(4, 0, session, 1, 0)],
      [16, join(u32(5, 0), u64(0))],
    ];
    for (const [size, command] of whole)
      for (let length = 8; length < size; length++)
        assert.deepEqual((await guest.command(command.subarray(0, length), 24)).bytes, u32(EINVAL, 0));
    for (let length = 0; length < 8; length++)
      assert.deepEqual((await guest.command(u32(1, 0).subarray(0, length), 24)).bytes, u32(EINVAL, 0));
    await goesOn();
  });

  it('a writable part shorter than the header gets the prefix that fits', async () => {
    for (let room = 0; room < 8; room++) {
      const { length, bytes } = await guest.command(u32(9, 0), room);
      assert.equal(length, room);
      assert.deepEqual(bytes, u32(ENOTTY, 0).subarray(0, room));
    }
    await goesOn();
  });

  it('a writable part shorter than the reply gets the prefix that fits', async () => {
    const query = join(u32(3, 0, session, Nr.ENUM_FMT), u32(0, 1), zeros(56));
    const { bytes: whole } = await guest.command(query, 72);
    assert.equal(whole.length, 72);
    for (let room = 0; room < 72; room++) {
      const { bytes } = await guest.command(query, room);
      assert.deepEqual(bytes, whole.subarray(0, room));
    }
    const { length } = await guest.command(query, 1000);
    assert.equal(length, 72, 'nothing is written beyond the reply');
    await goesOn();
  });

  it('OPEN with no room for the identifier still comes back', async () => {
    for (const room of [0, 8, 12]) assert.equal((await guest.command(u32(1, 0), room)).length, room);
    await goesOn();
  });

  it('surplus bytes behind a command are not looked at', async () => {
    const surplus = filled(100, 0xff);
    const { length } = await guest.command(join(u32(1, 0), surplus), 16);
    assert.equal(length, 16);
    const query = join(u32(3, 0, session, Nr.ENUM_FMT), u32(0, 1), zeros(56), surplus);
    assert.equal((await guest.command(query, 72)).status, 0);
    await goesOn();
  });

  it('MMAP of 20 and of 24 bytes; a 64-bit offset that needs them is EINVAL', async () => {
    assert.equal((await guest.ioctl(session, Nr.REQBUFS, requestBuffers(1))).status, 0);
    const queried = await guest.ioctl(session, Nr.QUERYBUF, join(u32(0, 1), zeros(80)));
    const mmapOffset = queried.payload.readUInt32LE(64);
    const ask = (...rest: Buffer[]) => guest.command(join(u32(4, 0, session, 1, mmapOffset), ...rest), 24);
    const { length, status, payload } = await ask();
    assert.deepEqual([length, status], [24, 0]);
    assert.equal(payload.readBigUInt64LE(0) % 0x1_0000n, 0n);
    assert.equal(
      Number(payload.readBigUInt64LE(8)),
      queried.payload.readUInt32LE(72),
      'the length of the plane',
    );
    assert.deepEqual((await ask(u32(0))).payload, payload);
    assert.deepEqual((await ask(u32(1))).bytes, u32(EINVAL, 0));
    assert.deepEqual((await ask(u32(0x8000_0000))).bytes, u32(EINVAL, 0));
    assert.equal(guest.vmm.window!.mappings.length, 1);
    await goesOn();
  });

  it("MMAP of offsets that are nobody's, MUNMAP of addresses that are nobody's", async () => {
    await guest.ioctl(session, Nr.REQBUFS, requestBuffers(2));
    const other = await guest.open();
    const { payload } = await guest.ioctl(session, Nr.QUERYBUF, join(u32(1, 1), zeros(80)));
    const mmapOffset = payload.readUInt32LE(64);
    for (const offset of [
      0,
      1,
      4096,
      mmapOffset - 1,
      mmapOffset + 1,
      mmapOffset + 0x1_0000 * 100,
      0xffff_ffff,
    ])
      assert.deepEqual((await guest.mmap(session, offset)).bytes, u32(EINVAL, 0), `offset ${offset}`);
    assert.deepEqual(
      (await guest.mmap(other, mmapOffset)).bytes,
      u32(EINVAL, 0),
      'an mmap offset of another session',
    );
    assert.deepEqual((await guest.mmap(999, mmapOffset)).bytes, u32(EBADF, 0));
    for (const address of [0n, 0x1000n, 1n << 32n, 1n << 53n, (1n << 64n) - 1n])
      assert.deepEqual((await guest.munmap(address)).bytes, u32(EINVAL, 0), `address ${address}`);
    await goesOn();
  });

  it('a MUNMAP too many, in the middle of a mapping, and after REQBUFS(0) and CLOSE', async () => {
    await guest.ioctl(session, Nr.REQBUFS, requestBuffers(1));
    const { payload } = await guest.ioctl(session, Nr.QUERYBUF, join(u32(0, 1), zeros(80)));
    const mmapOffset = payload.readUInt32LE(64);
    const address = Number((await guest.mmap(session, mmapOffset)).payload.readBigUInt64LE(0));
    const statuses = async (...addresses: number[]) => {
      const answers: number[] = [];
      for (const each of addresses) answers.push((await guest.munmap(each)).status);
      return answers;
    };
    assert.deepEqual(await statuses(address, address, address + 0x1000), [0, 0, 0]);
    assert.equal((await guest.mmap(session, mmapOffset)).status, 0, 'the buffer is still there');
    assert.equal((await guest.ioctl(session, Nr.REQBUFS, requestBuffers(0))).status, 0);
    assert.equal((await guest.mmap(session, mmapOffset)).status, EINVAL);
    await guest.shut(session);
    assert.deepEqual(await statuses(address, address), [0, EINVAL]);
    session = await guest.open();
    await goesOn();
  });

  it('sessions are opened up to 128, then EMFILE; closing one makes room for one', async () => {
    const laid = Array.from({ length: 127 }, () => guest.lay(u32(1, 0), 16));
    guest.commandq.offer(...laid.map(({ head }) => head));
    guest.commandq.kick();
    const sessions: number[] = [];
    for (const { head, room } of laid) {
      const { status, bytes } = guest.reply(room, 16, await guest.answered(head, 30_000));
      assert.equal(status, 0);
      sessions.push(bytes.readUInt32LE(8));
    }
    const tooMany = () => guest.command(u32(1, 0), 16);
    assert.deepEqual((await tooMany()).bytes, u32(EMFILE, 0));
    await guest.shut(sessions.pop()!);
    sessions.push(await guest.open());
    assert.deepEqual((await tooMany()).bytes, u32(EMFILE, 0));
    const closing = sessions.map((each) => guest.lay(u32(2, 0, each, 0), 0).head);
    guest.commandq.offer(...closing);
    guest.commandq.kick();
    for (const head of closing) assert.equal(await guest.answered(head, 30_000), 0);
    await goesOn();
  }).timeout(60_000);

  it('unknown sessions are EBADF in every command that names one', async () => {
    for (const unknown of [0, session + 1, 0xffff_ffff]) {
      assert.deepEqual((await guest.ioctl(unknown, Nr.G_FMT, zeros(208))).bytes, u32(EBADF, 0));
      assert.deepEqual((await guest.tell(unknown, Nr.STREAMON, u32(1))).bytes, u32(EBADF, 0));
      assert.deepEqual((await guest.mmap(unknown, 0)).bytes, u32(EBADF, 0));
      assert.equal((await guest.command(u32(2, 0, unknown, 0), 0)).length, 0);
      assert.deepEqual((await guest.command(u32(2, 0, unknown, 0), 8)).bytes, u32(EBADF, 0));
      // A payload that the kernel copies to the program on errors too comes back unchanged.
      const buffer = filled(88, 0x11);
      const refused = await guest.ioctl(unknown, Nr.QUERYBUF, buffer);
      assert.deepEqual([refused.status, refused.payload], [EBADF, buffer]);
      const empty = join(u32(0, 0), filled(24, 0x22));
      const controls = await guest.ioctl(unknown, Nr.G_EXT_CTRLS, empty);
      assert.deepEqual([controls.status, controls.payload], [EBADF, empty]);
    }
    await goesOn();
  });

  it('a guest that resets the device has no sessions afterwards', async () => {
    const { vmm } = guest;
    for (const index of [0, 1]) await vmm.enable(index, false);
    for (const index of [0, 1]) await vmm.base(index);
    for (const ring of vmm.rings) ring.clear();
    guest.postEvents(16);
    for (const index of [0, 1]) await vmm.prepare(index);
    for (const index of [0, 1]) await vmm.enable(index);
    assert.equal((await guest.ioctl(session, Nr.G_FMT, zeros(208))).status, EBADF);
    const next = await guest.open();
    assert.ok(next > session);
    session = next;
    await goesOn();
  });
});
