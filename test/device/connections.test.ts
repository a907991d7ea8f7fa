/** VMMs that connect, leave, change descriptors and stop in the middle: T10, T11 and T14 of the interop vectors. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { native } from '../../src/native.js';
import { Ask } from '../support/front-end-messages.js';
import { join, u32, u64, zeros } from './support/bytes.js';
import type { Guest } from './support/guest.js';
import { onVivid, rig } from './support/rig.js';
import { isSignalled } from './support/ring.js';
import { StrangeDescriptors } from './support/strange-descriptors.js';
import { CAPTURE, Nr, requestBuffers, v4l2Buffer } from './support/v4l2.js';
import { FEATURES, QEMU, Vmm } from './support/vmm.js';
import { message, Wire } from './support/wire.js';

const G_FMT = u32(1, ...Array(51).fill(0));

onVivid('connections', () => {
  const streaming = async (guest: Guest): Promise<number> => {
    const session = await guest.open();
    assert.equal((await guest.ioctl(session, Nr.REQBUFS, requestBuffers(4))).status, 0);
    for (let index = 0; index < 4; index++)
      assert.equal((await guest.ioctl(session, Nr.QBUF, v4l2Buffer({ index }))).status, 0);
    assert.equal((await guest.tell(session, Nr.STREAMON, u32(CAPTURE))).status, 0);
    return session;
  };

  it('a second client is refused while one is served, and served when that one has left', async () => {
    const guest = await rig.guest();
    const session = await streaming(guest);
    for (let round = 0; round < 20; round++) {
      const second = rig.own(new Wire(native.connect(rig.socket())));
      second.send(message(Ask.GET_FEATURES, zeros(0)));
      await second.ended();
      assert.deepEqual(second.received, [], 'not a byte');
      second.close();
    }
    await guest.until(() => guest.events.length === 4, 'the stream of the first');
    assert.equal((await guest.ioctl(session, Nr.G_FMT, G_FMT)).status, 0);
    guest.close();
    await rig.released();
    const next = await rig.guest();
    assert.equal((await next.ioctl(await next.open(), Nr.G_FMT, G_FMT)).status, 0);
  });

  it('clients that come and go without a word', async () => {
    for (let round = 0; round < 4; round++) {
      for (let client = 0; client < 10; client++) new Wire(native.connect(rig.socket())).close();
      // Connections are taken in order: when the last one is served or refused, all earlier ones are too.
      const last = rig.own(new Wire(native.connect(rig.socket())));
      last.send(message(Ask.GET_FEATURES, zeros(0)));
      await rig.until(() => last.closed || last.received.length > 0, 'the last client to be taken');
      last.close();
      await rig.released();
    }
    await rig.guest();
  });

  it('a VMM that leaves in the middle of a message', async () => {
    const fd = native.eventFd();
    rig.own({ close: () => closeSync(fd) });
    const whole = message(Ask.SET_VRING_CALL, u64(0));
    for (let length = 0; length < whole.length; length++) {
      const wire = new Wire(native.connect(rig.socket()));
      if (length > 0) wire.send(whole.subarray(0, length), Array(8).fill(fd));
      wire.close();
      await rig.released();
    }
  });

  /** States in which a VMM may disappear. */
  const leaving: Record<string, (guest: Guest) => Promise<void>> = {
    'while it streams': async (guest) => {
      await streaming(guest);
      await guest.until(() => guest.events.length > 0, 'a frame');
    },
    'with twenty sessions': async (guest) => {
      for (let n = 0; n < 20; n++) await guest.open();
    },
    'with commands under way': async (guest) => {
      const session = await guest.open();
      const laid = Array.from({ length: 30 }, () =>
        guest.lay(join(u32(3, 0, session, Nr.G_FMT), G_FMT), 216),
      );
      guest.commandq.offer(...laid.map(({ head }) => head));
      guest.commandq.kick();
    },
    'with buffers mapped': async (guest) => {
      const session = await streaming(guest);
      const { payload } = await guest.ioctl(session, Nr.QUERYBUF, v4l2Buffer({ index: 1 }));
      assert.equal((await guest.mmap(session, payload.readUInt32LE(64))).status, 0);
    },
    'with a mapping that it was asked for': async (guest) => {
      const session = await streaming(guest);
      guest.vmm.window!.verdict = () => null;
      const { payload } = await guest.ioctl(session, Nr.QUERYBUF, v4l2Buffer({ index: 1 }));
      const { head } = guest.lay(u32(4, 0, session, 1, payload.readUInt32LE(64)), 24);
      guest.commandq.offer(head);
      guest.commandq.kick();
      await guest.until(() => guest.vmm.window!.held.length === 1, 'SHMEM_MAP');
    },
    'with events that nobody takes': async (guest) => {
      guest.reposts = false;
      await streaming(guest);
      await guest.until(() => guest.eventq.returned.length === 4, 'frames');
    },
  };

  for (const [what, begin] of Object.entries(leaving))
    it(`a VMM that leaves ${what} frees the node within a second`, async () => {
      for (const protocol of [QEMU, QEMU & ~0x400n]) {
        const guest = await rig.guest({ protocol });
        await begin(guest);
        guest.close();
        const started = performance.now();
        await rig.released();
        const waited = performance.now() - started;
        assert.ok(waited < 1000, `${waited} ms`);
      }
    });

  it('call descriptors that are swapped all the time lose no interrupt', async () => {
    const guest = await rig.guest();
    const session = await guest.open();
    const open: number[] = [];
    rig.own({ close: () => open.splice(0).forEach((fd) => void closeSync(fd)) });
    for (let round = 0; round < 150; round++) {
      const call = native.eventFd();
      open.push(call);
      const { head } = guest.lay(join(u32(3, 0, session, Nr.ENUM_FMT), u32(0, 1), zeros(56)), 72);
      guest.commandq.offer(head);
      guest.commandq.kick();
      assert.equal(await guest.vmm.acknowledged(Ask.SET_VRING_CALL, u64(0), [call]), 0n);
      assert.equal(await guest.answered(head), 72);
      // The answer may have come before or after the new descriptor was set; the new descriptor is signalled in both
      // cases.
      await guest.until(() => isSignalled(call), `the interrupt of round ${round}`);
      if (open.length > 4) closeSync(open.shift()!);
    }
    assert.equal(await guest.vmm.acknowledged(Ask.SET_VRING_CALL, u64(0x100)), 0n, 'none at all');
    assert.equal((await guest.ioctl(session, Nr.G_FMT, G_FMT)).status, 0);
  });

  it('error descriptors may be taken away, and kick descriptors exchanged while a kick is pending', async () => {
    const guest = await rig.guest();
    const session = await guest.open();
    const open: number[] = [];
    rig.own({ close: () => open.forEach((fd) => void closeSync(fd)) });
    assert.equal(await guest.vmm.acknowledged(Ask.SET_VRING_ERR, u64(0x100)), 0n);
    for (let round = 0; round < 20; round++) {
      const kick = native.eventFd();
      open.push(kick);
      const { head } = guest.lay(join(u32(3, 0, session, Nr.G_FMT), G_FMT), 216);
      // The kick was sent on a descriptor that the daemon no longer watches, or was not sent at all.
      guest.commandq.offer(head);
      if (round % 2) native.signal(open.at(-2) ?? guest.commandq.kickFd);
      assert.equal(await guest.vmm.acknowledged(Ask.SET_VRING_KICK, u64(0), [kick]), 0n);
      assert.equal(await guest.answered(head), 216);
      const { head: next } = guest.lay(join(u32(3, 0, session, Nr.G_FMT), G_FMT), 216);
      guest.commandq.offer(next);
      native.signal(kick);
      assert.equal(await guest.answered(next), 216);
    }
  });

  it('kicks of a guest that has nothing to say cost nothing but a look', async () => {
    const guest = await rig.guest();
    for (let n = 0; n < 5000; n++) for (const ring of guest.vmm.rings) ring.kick();
    await guest.open();
  });

  it('the channel to the VMM may be given again and again, and may be nonsense', async () => {
    const guest = await rig.guest();
    const session = await guest.open();
    for (let round = 0; round < 20; round++) assert.equal(await guest.vmm.openChannel(), 0n);
    await guest.ioctl(session, Nr.REQBUFS, requestBuffers(1));
    const { payload } = await guest.ioctl(session, Nr.QUERYBUF, v4l2Buffer({}));
    assert.equal((await guest.mmap(session, payload.readUInt32LE(64))).status, 0);
    const strange = rig.own(new StrangeDescriptors());
    for (const { name, fd } of strange.all) {
      const answer = await guest.vmm.acknowledged(Ask.SET_BACKEND_REQ_FD, zeros(0), [fd]);
      assert.equal(answer === 0n, name === 'a socket', name);
      assert.equal((await guest.ioctl(session, Nr.G_FMT, G_FMT)).status, 0);
    }
    assert.equal(await guest.vmm.openChannel(), 0n);
  });

  it('features again and again, owners that change, statuses that mean nothing', async () => {
    const vmm = rig.own(new Vmm(rig.socket()));
    await vmm.negotiate();
    for (let round = 0; round < 20; round++) {
      vmm.tell(Ask.SET_OWNER);
      vmm.tell(Ask.RESET_OWNER);
      vmm.tell(Ask.SET_STATUS, u64(round));
      vmm.tell(Ask.RESET_DEVICE);
      vmm.tell(Ask.SET_PROTOCOL_FEATURES, u64(QEMU));
      assert.equal(await vmm.acknowledged(Ask.SET_FEATURES, u64(round % 2 ? FEATURES : 1n << 32n)), 0n);
      assert.equal((await vmm.ask(Ask.GET_STATUS)).readBigUInt64LE(0), 0n, 'a reset');
    }
  });

  it('a guest that floods the commandq keeps nobody from an answer', async () => {
    const guest = await rig.guest();
    const { vmm, commandq } = guest;
    const { head } = guest.lay(u32(99, 0), 8);
    commandq.offer(...Array(200).fill(head));
    commandq.kick();
    let answered = 0;
    let slowest = 0;
    for (const end = performance.now() + 1500; performance.now() < end; ) {
      const started = performance.now();
      await vmm.config();
      slowest = Math.max(slowest, performance.now() - started);
      guest.pump();
      const back = commandq.returned.splice(0).length;
      answered += back;
      commandq.offer(...Array(back).fill(head));
      commandq.kick();
    }
    assert.ok(answered > 200, `${answered} commands`);
    assert.ok(slowest < 1000, `GET_CONFIG took ${slowest} ms`);
    await guest.until(() => {
      answered += commandq.returned.splice(0).length;
      return answered >= 200 && commandq.returned.length === 0;
    }, 'the rest');
  });
});
