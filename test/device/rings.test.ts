/** Rings that a VMM sets up in unusual ways: elsewhere, too large, with wrong descriptors, while they run. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { native } from '../../src/native.js';
import { Ask } from '../support/front-end-messages.js';
import { join, u32, u64, zeros } from './support/bytes.js';
import type { Guest } from './support/guest.js';
import { onVivid, rig } from './support/rig.js';
import { StrangeDescriptors } from './support/strange-descriptors.js';
import { Nr } from './support/v4l2.js';
import { FEATURES, Vmm } from './support/vmm.js';

onVivid('rings', () => {
  it('kick, call and error descriptors that are no eventfds are refused; the old ones stay', async () => {
    const guest = await rig.guest();
    const session = await guest.open();
    const strange = rig.own(new StrangeDescriptors());
    for (const { name, fd } of strange.all)
      for (const request of [Ask.SET_VRING_KICK, Ask.SET_VRING_CALL, Ask.SET_VRING_ERR])
        for (const index of [0, 1])
          assert.notEqual(
            await guest.vmm.acknowledged(request, u64(index), [fd]),
            0n,
            `${name} for ${request}`,
          );
    assert.notEqual(await guest.vmm.acknowledged(Ask.SET_VRING_KICK, u64(0x100), []), 0n, 'polling');
    assert.equal((await guest.ioctl(session, Nr.G_FMT, u32(1, ...Array(51).fill(0)))).status, 0);
  });

  it('rings that do not exist, and sizes and bases that no ring has, are refused', async () => {
    const vmm = rig.own(new Vmm(rig.socket()));
    await vmm.negotiate();
    const fd = native.eventFd();
    rig.own({ close: () => closeSync(fd) });
    for (const index of [2, 3, 0xff, 0xffff_ffff]) {
      for (const request of [Ask.SET_VRING_NUM, Ask.SET_VRING_BASE, Ask.SET_VRING_ENABLE])
        assert.notEqual(await vmm.acknowledged(request, u32(index, 1)), 0n);
      assert.notEqual(await vmm.acknowledged(Ask.SET_VRING_ADDR, join(u32(index, 0), zeros(32))), 0n);
      assert.deepEqual(await vmm.ask(Ask.GET_VRING_BASE, u32(index, 5)), u32(index, 0));
    }
    for (const index of [2, 3, 0xff])
      for (const request of [Ask.SET_VRING_KICK, Ask.SET_VRING_CALL, Ask.SET_VRING_ERR])
        assert.notEqual(await vmm.acknowledged(request, u64(index), [fd]), 0n);
    for (const size of [0, 3, 100, 32769, 65536, 0x8000_0000, 0xffff_ffff])
      assert.notEqual(await vmm.acknowledged(Ask.SET_VRING_NUM, u32(0, size)), 0n, `size ${size}`);
    for (const base of [65536, 0x8000_0000, 0xffff_ffff])
      assert.notEqual(await vmm.acknowledged(Ask.SET_VRING_BASE, u32(0, base)), 0n, `base ${base}`);
    assert.equal(await vmm.acknowledged(Ask.SET_VRING_NUM, u32(0, 32768)), 0n);
  });

  it('a ring that lies badly does not start, and starts when it lies well', async () => {
    const vmm = rig.own(new Vmm(rig.socket()));
    await vmm.negotiate();
    vmm.tell(Ask.SET_FEATURES, u64(FEATURES));
    await vmm.setMemory();
    const { descriptors, available, used } = vmm.rings[0]!.places;
    await vmm.prepare(0);
    const end = 0x4040_0000;
    for (const bent of [
      { descriptors: descriptors + 8 },
      { available: available + 1 },
      { used: used + 2 },
      { descriptors: end - 256 * 16 + 16 },
      { used: end - 100 },
      { available: end - 2 },
      // It would fit in length, but lies in two regions.
      { descriptors: 0x4020_0000 - 2048 },
    ]) {
      assert.equal(await vmm.acknowledged(Ask.SET_VRING_ADDR, vmm.addressBody(0, bent)), 0n);
      assert.notEqual(await vmm.enable(0), 0n, JSON.stringify(bent));
    }
    for (const nowhere of [0n, 0x1000n, (1n << 64n) - 4096n, 1n << 53n]) {
      const body = join(u32(0, 0), u64(nowhere, nowhere, nowhere, 0));
      assert.equal(await vmm.acknowledged(Ask.SET_VRING_ADDR, body), 0n);
      assert.notEqual(await vmm.enable(0), 0n, `0x${nowhere.toString(16)}`);
    }
    assert.equal(await vmm.acknowledged(Ask.SET_VRING_ADDR, vmm.addressBody(0)), 0n);
    assert.equal(await vmm.enable(0), 0n);
  });

  it('a running ring cannot be changed', async () => {
    const guest: Guest = await rig.guest();
    const session = await guest.open();
    const { vmm } = guest;
    assert.notEqual(await vmm.acknowledged(Ask.SET_VRING_NUM, u32(0, 8)), 0n);
    assert.notEqual(await vmm.acknowledged(Ask.SET_VRING_BASE, u32(0, 7)), 0n);
    assert.notEqual(await vmm.acknowledged(Ask.SET_VRING_ADDR, vmm.addressBody(0)), 0n);
    assert.notEqual(await vmm.acknowledged(Ask.SET_FEATURES, u64(1n << 32n)), 0n);
    assert.equal((await guest.ioctl(session, Nr.G_FMT, u32(1, ...Array(51).fill(0)))).status, 0);
  });
});
