/** A VMM truncates its memory file while the bridge has it mapped. The bridge and the other VM go on. */
import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Guest } from './support/guest.js';
import type { Ram } from './support/ram.js';
import { onVivid, rig } from './support/rig.js';

onVivid('memory that is cut off', () => {
  let guest: Guest;
  let fd: number;

  /** From now on guest memory is in another file. */
  const moveMemory = async () => {
    const folder = mkdtempSync(join(tmpdir(), 'vmb-cut-'));
    fd = openSync(join(folder, 'memory'), 'w+');
    rmSync(folder, { recursive: true });
    const { ram } = guest.vmm;
    ftruncateSync(fd, ram.bytes.length);
    const moved = { fd, table: ram.table, regions: ram.regions } as unknown as Ram;
    assert.equal(await guest.vmm.setMemory(moved), 0n);
  };

  beforeEach(async () => {
    guest = await rig.guest();
  });
  afterEach(() => closeSync(fd));

  for (const [what, left] of [
    ['all of it', 0],
    ['all but the rings', 0x1_0000],
  ] as const)
    it(`${what}: kicks are harmless, the VMM is answered, and new memory is taken`, async () => {
      await moveMemory();
      ftruncateSync(fd, left);
      for (const ring of guest.vmm.rings) ring.kick();
      assert.equal((await guest.vmm.config()).length, 40);
      for (const ring of guest.vmm.rings) ring.kick();
      assert.equal(await guest.vmm.setMemory(), 0n);
      assert.equal((await guest.vmm.config()).length, 40);
      assert.ok(rig.daemon.alive, rig.daemon.alive ? '' : rig.daemon.obituary);
    });
});
