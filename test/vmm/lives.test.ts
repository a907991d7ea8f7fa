/**
 * Message sequences of four VMMs, sent by our own front-end, while the guest streams from a real node. unit/vhost-user
 * tests the sequences without a node.
 */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { GuestDriver } from '../../src/client/guest-driver.js';
import type { AnnouncedRegion, MemfdRam } from '../../src/client/memfd-ram.js';

import { Vmm, type VmmOptions } from '../../src/client/vmm.js';
import type { VmmName } from '../../src/client/vmm-transcripts.js';
import { Errno } from '../../src/errno.js';
import { native } from '../../src/native.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferType, fmtdesc } from '../../src/v4l2/layout.js';
import { FrontEndRequest } from '../../src/vhost-user/protocol.js';
import { openDescriptors } from '../addon/support/process.js';
import { join, u64 } from '../device/support/bytes.js';
import { keepJournal, showJournal } from '../lab/support/daemon-log.js';
import { GuestQueue } from '../lab/support/guest-queue.js';
import { nodeNamed, provide, unload } from '../lab/support/kernel-modules.js';
import { errnoOf, onStage, Stage } from '../lab/support/stage.js';
import { VIVID, VIVID_NODE } from './support/host.js';
import { freeWithin } from './support/node-claim.js';

const FREE_MS = 3000;
const BUFFERS = 4;
const MORE_RAM = 16 << 20;
const type = BufferType.VIDEO_CAPTURE;

interface Life {
  readonly name: string;
  readonly frontEnd: { vmm: VmmName } & Partial<VmmOptions>;
  readonly memSlots?: boolean;
  /** false: cloud-hypervisor has no SHM region 0, so the frames cannot be looked at. */
  readonly maps: boolean;
  /** How memory is added. Absent: never. */
  readonly addMemory?: 'table' | 'slot';
  /** true: the sessions end with the reset. false: they end when the next driver starts. */
  readonly endsAtReset: boolean;
}

/** QEMU with memory slots: the features of our front-end's qemu, and CONFIGURE_MEM_SLOTS. */
const SLOTS = 0x40_8629n;
const lives: readonly Life[] = [
  { name: 'QEMU', frontEnd: { vmm: 'qemu' }, maps: true, addMemory: 'table', endsAtReset: false },
  {
    name: 'QEMU with memory slots',
    frontEnd: { vmm: 'qemu', protocolFeatures: SLOTS },
    memSlots: true,
    maps: true,
    addMemory: 'slot',
    endsAtReset: false,
  },
  { name: 'crosvm', frontEnd: { vmm: 'crosvm' }, maps: true, addMemory: 'table', endsAtReset: false },
  {
    name: 'libkrun',
    frontEnd: { vmm: 'libkrun', shmSize: 32 << 20 },
    maps: true,
    endsAtReset: true,
  },
  {
    name: 'cloud-hypervisor',
    frontEnd: { vmm: 'cloud-hypervisor' },
    memSlots: true,
    maps: false,
    addMemory: 'slot',
    endsAtReset: false,
  },
];

async function streaming(driver: GuestDriver, maps: boolean): Promise<GuestQueue> {
  const queue = new GuestQueue(driver, await driver.open(), type);
  await queue.setFormat('RGB3', 320, 180);
  await queue.setRate(30);
  if (maps) await queue.start(BUFFERS);
  else {
    await queue.request(BUFFERS);
    for (let index = 0; index < BUFFERS; index++) await queue.queue(index);
    await queue.on();
  }
  return queue;
}

/**
 * Takes frames and gives their buffers back. Checks that they come in the order in which they were queued, each once.
 */
class Frames {
  #taken = 0;

  constructor(private readonly queue: GuestQueue) {}

  async take(count: number): Promise<void> {
    for (let left = count; left > 0; left--) {
      const { index } = (await this.queue.next()).buffer;
      assert.equal(index, this.#taken++ % BUFFERS, 'a frame was lost or doubled');
      await this.queue.queue(index);
    }
  }
}

let added = 0;

/** A DIMM after all other memory. */
async function addMemory({ heap, conversation }: Vmm, how: 'table' | 'slot'): Promise<void> {
  const { regions } = heap.ram as MemfdRam;
  const fd = native.memoryFile('more-ram', MORE_RAM);
  const guestAddress = 0x2_0000_0000 + MORE_RAM * added++;
  const more = {
    guestAddress,
    size: MORE_RAM,
    userAddress: 0x7d00_0000_0000 + guestAddress,
    fileOffset: 0,
    fd,
  };
  try {
    if (how === 'table') {
      (regions as AnnouncedRegion[]).push(more);
      await conversation.announceMemory();
      (regions as AnnouncedRegion[]).pop();
    } else {
      const body = join(u64(0), u64(guestAddress, MORE_RAM, more.userAddress, 0));
      await conversation.tell(FrontEndRequest.ADD_MEM_REG, body, [fd]);
    }
  } finally {
    closeSync(fd);
  }
}

describe('the lives of four VMMs with a stream', function () {
  this.timeout(60_000);
  let camera: string;

  before(function () {
    provide(this, VIVID);
    camera = nodeNamed(VIVID_NODE);
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(() => unload(VIVID));

  for (const life of lives) {
    const { name, frontEnd, memSlots = false, maps, endsAtReset } = life;
    const onLife = (play: (stage: Stage) => Promise<void>) =>
      onStage(camera, { frontEnd, serve: { memSlots } }, play);

    if (life.addMemory)
      it(`${name}: memory is added in mid-stream, and interrupts are routed anew: no frame is lost`, () =>
        onLife(async ({ driver, frontEnd: vmm }) => {
          const queue = await streaming(driver, maps);
          const frames = new Frames(queue);
          for (let round = 0; round < 3; round++) {
            await frames.take(BUFFERS);
            await addMemory(vmm, life.addMemory!);
            await frames.take(1);
            for (let swap = 0; swap < 10; swap++) await vmm.conversation.start['call again']();
          }
          await frames.take(2 * BUFFERS);
          await queue.off();
        }));

    it(`${name}: the guest resets the device in mid-stream, and its next driver streams`, () =>
      onLife(async (stage) => {
        const { session } = await streaming(stage.driver, maps);
        await stage.frontEnd.reset();
        stage.driver.remove();
        if (endsAtReset) await freeWithin(camera, FREE_MS);
        stage.driver = await GuestDriver.probe(stage.frontEnd);
        await freeWithin(camera, FREE_MS);
        const asked = stage.driver.call(session, Ioctl.ENUM_FMT, fmtdesc, { index: 0, type });
        assert.equal(await errnoOf(asked), Errno.EBADF, 'sessions end with the reset');
        await new Frames(await streaming(stage.driver, maps)).take(2 * BUFFERS);
      }));
  }

  it('one after the other vanishes in mid-stream from the same socket: nothing is left for the next', async () => {
    const stage = await Stage.open(camera, { serve: { memSlots: true } });
    stage.leave();
    try {
      const held: number[] = [];
      for (const { frontEnd, maps } of [...lives, ...lives]) {
        const vmm = await Vmm.connect(stage.socket, frontEnd);
        const driver = await GuestDriver.probe(vmm);
        await new Frames(await streaming(driver, maps)).take(BUFFERS + 1);
        driver.remove();
        vmm.close();
        await freeWithin(camera, FREE_MS);
        held.push(openDescriptors());
      }
      assert.equal(held.at(-1), held[lives.length - 1], `descriptors: ${held.join(' ')}`);
    } finally {
      await stage.stopDaemon();
    }
  });
});
