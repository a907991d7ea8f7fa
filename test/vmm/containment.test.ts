/**
 * Faults of the bridge behind a real QEMU, which aborts when its back-end disappears; and what QEMU does when the
 * bridge does end.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { Errno } from '../../src/errno.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { eventSubscription } from '../../src/v4l2/layout.js';
import { eventually } from '../addon/support/process.js';
import { nodeNamed, provide } from '../lab/support/kernel-modules.js';
import { errnoOf } from '../lab/support/stage.js';
import { Bridge } from './support/bridge.js';
import type { Capture } from './support/capture.js';
import { Guest } from './support/guest.js';
import { requires, VIVID, VIVID_NODE } from './support/host.js';
import { freeWithin } from './support/node-claim.js';
import { Qemu } from './support/qemu.js';
import { BUFFERS, inOrder, startStream, takeFrames } from './support/streaming.js';

const RATE = 20;
const FREE_MS = 3000;
/** Milliseconds; see lifecycle.test.ts. */
const REBOOT_MS = 60;
const SAID_MS = 5000;
const SABOTAGE = new URL('./support/sabotage.js', import.meta.url).href;
const ABORTED = { code: null, signal: 'SIGABRT' } as const;

async function said(what: () => string, text: string): Promise<void> {
  const isSaid = await eventually(() => what().includes(text), SAID_MS);
  assert.ok(isSaid, `"${text}" was not said:\n${what()}`);
}

describe('a bridge whose code fails, behind a real QEMU', function () {
  this.timeout(120_000);
  let camera: string;
  let bridge: Bridge;
  let guest: Guest;
  let capture: Capture;

  before(async function () {
    requires(this, 'qemu');
    provide(this, VIVID);
    camera = nodeNamed(VIVID_NODE);
    bridge = await Bridge.sabotaged([SABOTAGE], camera, '--mmap', 'arena', '--shm-size', '256M');
    guest = await Guest.boot(bridge.socket);
    capture = await startStream(guest, RATE);
  });

  afterEach(function () {
    if (this.currentTest?.state === 'failed') console.error(bridge.program.stderr, guest.qemu.program.stderr);
  });

  after(async () => {
    await guest?.close();
    await bridge?.close();
  });

  const sabotage = async (fault: string) => {
    bridge.program.signal('SIGUSR2');
    await said(() => bridge.program.stdout, `sabotage: ${fault}`);
  };

  /**
   * Checks that frames come and that the configuration can be read. QEMU would abort on either if it had no back-end.
   */
  const goesOn = async () => {
    inOrder(await takeFrames(capture, 2 * BUFFERS));
    assert.equal((await guest.machine.readConfig()).card, 'vivid');
    assert.ok(guest.qemu.program.alive);
    assert.ok(bridge.program.alive);
    assert.deepEqual(guest.driver.complaints, []);
  };

  it('goes on after an exception that nobody caught, and says where it came from', async () => {
    await sabotage('exception');
    await said(() => bridge.program.stderr, 'Error: sabotage: an exception\n    at ');
    await goesOn();
  });

  it('goes on after a rejection that nobody handled', async () => {
    await sabotage('rejection');
    await goesOn();
  });

  it('answers EIO to a command whose code throws, and the session goes on', async () => {
    await sabotage('command');
    // It is no flat command: the loop's code runs it.
    const unsubscribe = guest.driver.call(capture.session, Ioctl.UNSUBSCRIBE_EVENT, eventSubscription, {});
    assert.equal(await errnoOf(unsubscribe), Errno.EIO);
    await said(() => bridge.program.stderr, 'Error: sabotage: a command\n    at ');
    await goesOn();
  });

  it('ends the sessions when a queue cannot be served, keeps QEMU, and starts anew with the next driver', async () => {
    await sabotage('kick');
    const unheard = guest.driver.open().catch((error: Error) => error);
    await freeWithin(camera, FREE_MS);
    await said(() => bridge.program.stderr, 'Error: sabotage: a kick\n    at ');
    assert.equal((await guest.machine.readConfig()).card, 'vivid');
    await guest.machine.reset();
    guest.driver.remove();
    assert.ok((await unheard) instanceof Error);
    await delay(REBOOT_MS);
    await guest.reboot();
    capture = await startStream(guest, RATE);
    await goesOn();
    const complaints = guest.qemu.program.stderr.trim().split('\n');
    assert.ok(
      complaints.every((line) => line.includes('vhost vring error in virtqueue')),
      complaints.join('\n'),
    );
  });

  it('goes on when nobody reads its log any more', async () => {
    bridge.program.deafen();
    bridge.program.signal('SIGUSR2');
    await goesOn();
    await goesOn();
  });

  it('ends within a second at SIGTERM all the same', async () => {
    assert.equal((await guest.qemu.quit()).code, 0);
    assert.deepEqual(await bridge.stop(1000), { code: 0, signal: null });
  });
});

describe('a bridge that ends before its real QEMU', function () {
  this.timeout(120_000);
  let camera: string;
  let bridge: Bridge;
  let qemu: Qemu | undefined;

  before(function () {
    requires(this, 'qemu');
    provide(this, VIVID);
    camera = nodeNamed(VIVID_NODE);
  });

  beforeEach(async () => {
    bridge = await Bridge.serve(camera, '--shm-size', '256M');
  });

  afterEach(async () => {
    await qemu?.close();
    qemu = undefined;
    await bridge.close();
  });

  /** Ends the bridge by SIGTERM and returns its one log line about the VM. */
  const lastWords = async (): Promise<string> => {
    assert.deepEqual(await bridge.stop(1000), { code: 0, signal: null });
    const lines = bridge.program.stderr.split('\n').filter((line) => line.includes('leaving a VM'));
    assert.equal(lines.length, 1, bridge.program.stderr);
    assert.match(lines[0]!, /frontend=qemu/);
    return lines[0]!;
  };

  const running = async (): Promise<Guest> => {
    const guest = await Guest.boot(bridge.socket);
    qemu = guest.qemu;
    await takeFrames(await startStream(guest, RATE), BUFFERS);
    return guest;
  };

  it('says that QEMU lives on until its guest looks at the device, and so it is', async () => {
    const guest = await running();
    assert.match(await lastWords(), /QEMU loses this device, and aborts when/);
    await delay(300);
    assert.ok(guest.qemu.program.alive);
    await assert.rejects(guest.machine.readConfig());
    assert.deepEqual(await guest.qemu.program.end(), ABORTED);
  });

  it('says that a paused QEMU aborts at once, and so it does', async () => {
    const guest = await running();
    await guest.qemu.qmp.execute('stop');
    assert.match(await lastWords(), /QEMU aborts at once/);
    assert.deepEqual(await guest.qemu.program.end(), ABORTED);
  });

  it('says that a QEMU whose guest has no driver yet aborts at once, and so it does', async () => {
    qemu = await Qemu.start(bridge.socket);
    assert.match(await lastWords(), /QEMU aborts at once/);
    assert.deepEqual(await qemu.program.end(), ABORTED);
  });

  it('says nothing where there is no VM', async () => {
    assert.deepEqual(await bridge.stop(1000), { code: 0, signal: null });
    assert.doesNotMatch(bridge.program.stderr, /leaving a VM/);
  });
});
