/**
 * A drained decoder costs no time: nothing wakes up after LAST. The daemon is a process of its own, so that its
 * processor time can be measured.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuestDriver } from '../../src/client/guest-driver.js';
import { Vmm } from '../../src/client/vmm.js';
import { ANSWER_DEADLINE_MS } from '../../src/media/policy.js';
import { lineOf } from '../addon/support/child.js';
import { DaemonProcess } from '../device/support/daemon-process.js';
import { statusesOf } from '../device/support/process-holdings.js';
import { collect, openDecoder } from './support/codec-session.js';
import { fwhtFrames } from './support/fwht-stream.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { movingPicture } from './support/moving-picture.js';
import { encodeNatively } from './support/v4l2-ctl-codec.js';

const VICODEC = 'vicodec multiplanar=0';
const SIZE = { width: 640, height: 368 };
const SOCKET = '/tmp/vmb-lab-idle.sock';
const SECONDS = 3;
/** USER_HZ of all architectures on which the lab runs. */
const TICKS_PER_SECOND = 100;

/** Processor time of all threads of a process in ticks: utime and stime of proc(5), /proc/PID/stat. */
function ticks(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** How often each of our threads has slept: proc(5), voluntary_ctxt_switches. */
const wakes = (pid: number): string[] =>
  statusesOf(pid)
    .filter((status) => lineOf(status, 'Name').startsWith('vmb-'))
    .map((status) => `${lineOf(status, 'Name')}: ${lineOf(status, 'voluntary_ctxt_switches')}`);

for (const [mmap, vmm] of [
  ['arena', 'qemu'],
  ['direct', 'crosvm'],
] as const)
  describe(`lab: a drained decoder (${mmap})`, function () {
    this.timeout(120_000);
    let daemon: DaemonProcess | undefined;

    before(function () {
      provide(this, VICODEC);
    });
    after(async () => {
      await daemon?.stop();
      unload(VICODEC);
    });

    it('idles at under 1 % of a core', async () => {
      const raw = Buffer.concat(movingPicture(SIZE.width, SIZE.height, 4));
      const frames = fwhtFrames(encodeNatively(nodeNamed('stateful-encoder'), SIZE, raw));
      daemon = await DaemonProcess.start(
        {
          pairs: [{ device: nodeNamed('stateful-decoder'), socket: { path: SOCKET } }],
          sharedMemorySize: 64 << 20,
          mmap,
          frontend: 'auto',
          memSlots: false,
          objects: false,
          sharedPages: false,
          errorEvents: false,
        },
        [],
      );
      const frontEnd = await Vmm.connect(SOCKET, { vmm });
      const driver = await GuestDriver.probe(frontEnd);
      const decoder = await openDecoder({ driver }, (await frontEnd.readConfig()).deviceCaps, frames);
      await decoder.start();
      assert.equal((await collect(decoder, frames)).length, frames.length);
      // Wait until the timer of the last command's deadline has run, because it does not belong to the decoder.
      await sleep(ANSWER_DEADLINE_MS);
      const before = ticks(daemon.pid);
      const woken = wakes(daemon.pid);
      const ofRing = woken.filter((each) => each.startsWith('vmb-ring'));
      assert.ok(ofRing.length <= 2, `one that leads, and one that follows: ${woken}`);
      assert.equal(woken.length - ofRing.length, 2, `a lane and a watcher: ${woken}`);
      await sleep(SECONDS * 1000);
      const share = (ticks(daemon.pid) - before) / (SECONDS * TICKS_PER_SECOND);
      console.log(`      ${(100 * share).toFixed(2)} % of a core`);
      assert.ok(share < 0.01, `${(100 * share).toFixed(2)} % of a core`);
      assert.deepEqual(wakes(daemon.pid), woken);
      assert.equal(driver.waitingEvents(decoder.sessionId), 0);
      await decoder.release();
      driver.remove();
      frontEnd.close();
      assert.deepEqual(daemon.errors, []);
    });
  });
