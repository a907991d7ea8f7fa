/**
 * Drivers that are unbound from their device during a stream and bound again: another way for a device to disappear and
 * come back.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Errno } from '../../src/errno.js';
import { BufferFlag, BufferType } from '../../src/v4l2/layout.js';
import { eventually, openDescriptors } from '../addon/support/process.js';
import { Binding } from './support/binding.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { FWHT_PARAMS, fwhtParams } from './support/fwht.js';
import { GuestQueue } from './support/guest-queue.js';
import { isNode, nodeNamed, provide, unload } from './support/kernel-modules.js';
import { codedSize, encodedPattern } from './support/native-codec.js';
import { errnoOf, onStage, Stage } from './support/stage.js';
import { queueOutput, StatelessSession } from './support/stateless-session.js';
import { UsbCamera } from './support/usb-camera.js';

const BUFFERS = 4;
const { VIDEO_CAPTURE, VIDEO_OUTPUT } = BufferType;

interface Case {
  readonly driver: string;
  /** Loads the driver. Resolves to the name of the node in sysfs. */
  readonly provide: (context: Mocha.Context) => Promise<string>;
  readonly remove: () => Promise<void>;
  /**
   * 'when closed': the driver keeps an interface of the device until its last file is closed, and cannot be bound
   * before.
   */
  readonly binds: 'at once' | 'when closed';
  /** Starts queues. The first one has buffers that the driver has not given back. */
  readonly start: (stage: Stage) => Promise<GuestQueue[]>;
}

const VIVID = 'vivid n_devs=1 node_types=0x1';
const VIM2M = 'vim2m';
let camera: UsbCamera;

/** The rate is so low that the driver has empty buffers when it is unbound. */
async function capture(stage: Stage, fourcc: string, rate: number): Promise<GuestQueue[]> {
  const queue = new GuestQueue(stage.driver, await stage.driver.open(), VIDEO_CAPTURE);
  await queue.setFormat(fourcc, 320, 180);
  await queue.setRate(rate);
  await queue.start(BUFFERS);
  await queue.queue((await queue.next()).buffer.index);
  return [queue];
}

/** Nothing is converted, because the driver has no input. It keeps the CAPTURE buffers. */
async function convert(stage: Stage): Promise<GuestQueue[]> {
  const session = await stage.driver.open();
  const queues = [VIDEO_CAPTURE, VIDEO_OUTPUT].map((type) => new GuestQueue(stage.driver, session, type));
  await queues[0]!.start(BUFFERS);
  await queues[1]!.request(1);
  await queues[1]!.on();
  return queues;
}

const cases: readonly Case[] = [
  {
    driver: 'uvcvideo',
    binds: 'when closed',
    provide: async (context) => {
      camera = await UsbCamera.plugIn(context);
      return readFileSync(`/sys/class/video4linux/${basename(camera.node)}/name`, 'utf8').trim();
    },
    remove: () => camera.end(),
    start: (stage) => capture(stage, 'YUYV', 5),
  },
  {
    driver: 'vivid',
    binds: 'at once',
    provide: async (context) => {
      provide(context, VIVID);
      return 'vivid-000-vid-cap';
    },
    remove: async () => unload(VIVID),
    start: (stage) => capture(stage, 'RGB3', 1),
  },
  {
    driver: 'vim2m',
    binds: 'at once',
    provide: async (context) => {
      provide(context, VIM2M);
      return 'vim2m';
    },
    remove: async () => unload(VIM2M),
    start: convert,
  },
];

for (const each of cases)
  describe(`lab: ${each.driver} is unbound from its device`, function () {
    this.timeout(60_000);
    let name: string;
    let stage: Stage | undefined;

    before(async function () {
      name = await each.provide(this);
    });
    beforeEach(keepJournal);
    afterEach(async function () {
      showJournal(this.currentTest);
      await stage?.close();
      stage = undefined;
    });
    after(() => each.remove());

    it('in mid-stream: buffers come back, ENODEV, nothing spins; bound again, new sessions stream', async () => {
      stage = await Stage.open(nodeNamed(name));
      const { driver } = stage;
      const [first] = await each.start(stage);
      const binding = new Binding(nodeNamed(name));
      await binding.unbind();
      let damaged = 0;
      for (let n = 0; n < BUFFERS; n++)
        if ((await first!.next(1000)).buffer.flags & BufferFlag.ERROR) damaged++;
      assert.ok(damaged > 0, 'no buffer says that its frame is damaged');
      assert.equal(await errnoOf(first!.off()), Errno.ENODEV);
      assert.equal(await errnoOf(driver.open()), Errno.ENODEV);
      const before = process.cpuUsage();
      await sleep(1000);
      const { user, system } = process.cpuUsage(before);
      assert.ok(user + system < 500_000, `${(user + system) / 1000} ms of CPU in a second of nothing`);

      if (each.binds === 'when closed') await driver.close(first!.session);
      await binding.bind();
      assert.ok(await eventually(() => isNode(name)), `no ${name} after it was bound again`);
      const [again] = await each.start(stage);
      if (each.binds === 'at once') {
        assert.equal(await errnoOf(first!.off()), Errno.ENODEV);
        await driver.close(first!.session);
      }
      await again!.off();
      await driver.close(again!.session);
      stage.verify();
    });
  });

describe('lab: a stateless decoder is unbound from its device', function () {
  this.timeout(60_000);
  const VICODEC = 'vicodec multiplanar=0';
  const DECODER = 'stateless-decoder';

  before(function () {
    provide(this, VICODEC);
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(() => unload(VICODEC));

  it('bound again, new sessions decode: with requests of its new media device', async () => {
    const frame = (await encodedPattern(false, 640, 360, 1))[0]!;
    const control = { id: FWHT_PARAMS, payload: fwhtParams(frame, 0n) };
    await onStage(nodeNamed(DECODER), { serve: { sharedMemorySize: 64 << 20 } }, async ({ driver }) => {
      const decode = async () => {
        const session = await StatelessSession.open(
          driver,
          false,
          ['SFWH', 'YU12'],
          [
            [640, 360],
            [codedSize(640), codedSize(360)],
          ],
        );
        await session.start();
        const picture = await session.decode(frame.data, control, async (feed) => {
          assert.equal(await feed.session.setControl(feed.control), 0);
          await queueOutput(feed);
        });
        return { session, picture };
      };
      const { session: old, picture } = await decode();
      const binding = new Binding(nodeNamed(DECODER));
      await binding.unbind();
      assert.equal(await errnoOf(driver.open()), Errno.ENODEV);
      await binding.bind();
      assert.ok(await eventually(() => isNode(DECODER)), 'no decoder after it was bound again');
      const descriptors = openDescriptors();
      const again = await decode();
      assert.ok(again.picture.equals(picture), 'another picture of the same frame');
      await driver.close(again.session.id);
      assert.equal(openDescriptors(), descriptors);
      await driver.close(old.id);
    });
  });
});
