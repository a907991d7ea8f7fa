/**
 * What every test here needs: vivid's nodes served by one daemon, a neighbour VM that must never notice anything, and a
 * count of what the daemon holds before and after each test.
 */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuestDriver } from '../../../src/client/guest-driver.js';
import { Vmm } from '../../../src/client/vmm.js';
import { native } from '../../../src/native.js';
import { until } from '../../support/until.js';
import { DaemonProcess } from './daemon-process.js';
import { exportBuffer } from './dmabuf.js';
import { Guest } from './guest.js';
import type { Holdings } from './process-holdings.js';
import type { VmmOptions } from './vmm.js';

/** V4L2_CAP_VIDEO_CAPTURE_MPLANE. */
const GREETINGS = 5;
const CAPTURE_MPLANE = 0x1000;
const SYSFS = '/sys/class/video4linux';
/** Descriptors that the daemon inherits and does not know. */
export const FOREIGN = { dmabuf: 3, eventFd: 4, file: 5 } as const;
export const SHM_SIZE = 256 << 20;

/** `/dev/videoN` of every camera of the driver vivid. */
function vividNodes(): string[] {
  const names = () => readdirSync(SYSFS).filter((name) => /^video\d+$/.test(name));
  const isVivid = (name: string) =>
    /^vivid-\d+-vid-cap/.test(readFileSync(join(SYSFS, name, 'name'), 'latin1'));
  try {
    return names()
      .filter(isVivid)
      .sort()
      .map((name) => `/dev/${name}`);
  } catch {
    return [];
  }
}

class Rig {
  readonly nodes = vividNodes();
  daemon!: DaemonProcess;
  /** Index of the node with multi-planar buffers; -1: there is none. */
  multiplanar = -1;
  #folder = '';
  #foreign: number[] = [];
  #neighbour!: { frontEnd: Vmm; driver: GuestDriver; session: number };
  /** What the daemon holds while it serves only the neighbour. */
  #before!: Holdings;
  #guests: { close(): void }[] = [];

  /** Path of the socket of the n-th node. */
  socket(node = 0): string {
    return join(this.#folder, `${node}.sock`);
  }

  /** A guest that is closed after the test. */
  async guest(options: Partial<VmmOptions> & { events?: number; node?: number } = {}): Promise<Guest> {
    return this.own(await Guest.boot(this.socket(options.node), options));
  }

  /** Closes `closable` after the test. */
  own<T extends { close(): void }>(closable: T): T {
    this.#guests.push(closable);
    return closable;
  }

  async start(): Promise<void> {
    if (this.daemon) return;
    this.#folder = mkdtempSync(join(tmpdir(), 'vmb-device-'));
    const neighbour = join(this.#folder, 'neighbour.sock');
    const pairs = this.nodes.map((device, node) => ({ device, socket: { path: this.socket(node) } }));
    pairs.push({ device: this.nodes[0]!, socket: { path: neighbour } });
    const off = { objects: false, sharedPages: false, errorEvents: false };
    const vmm = { sharedMemorySize: SHM_SIZE, mmap: 'auto', frontend: 'auto', memSlots: true };
    const options = { pairs, ...vmm, ...off };
    this.#foreign = await this.#openForeign();
    this.daemon = await DaemonProcess.start(options, this.#foreign);
    const frontEnd = await Vmm.connect(neighbour);
    const driver = await GuestDriver.probe(frontEnd);
    this.#neighbour = { frontEnd, driver, session: await driver.open() };
    // First use: Node opens some descriptors once and keeps them.
    const caps = await this.#deviceCaps();
    this.multiplanar = caps.findIndex((each) => (each & CAPTURE_MPLANE) !== 0);
    // By then threads of its commandq serve the neighbour.
    for (let greeting = 0; greeting < GREETINGS; greeting++) await this.#greetNeighbour();
    this.#before = await this.#quiet();
  }

  /** Waits until the daemon has released what the test has closed: it serves a new connection then. */
  released(): Promise<void> {
    const same = () => JSON.stringify(this.daemon.holdings()) === JSON.stringify(this.#before);
    return until(same, 'the daemon to let go');
  }

  until = until;

  pause(ms: number): Promise<void> {
    return sleep(ms);
  }

  /**
   * Closes what the test has opened. Then the daemon must hold what it held before, and the neighbour must have noticed
   * nothing.
   */
  async settle(): Promise<void> {
    for (const guest of this.#guests.splice(0)) guest.close();
    assert.ok(this.daemon.alive, this.daemon.alive ? '' : this.daemon.obituary);
    // If the wait ends without success, the comparison below fails and says what is different.
    await this.released().catch(() => undefined);
    assert.deepEqual(this.daemon.holdings(), this.#before);
    assert.deepEqual(this.daemon.errors.splice(0), [], 'errors in the log of the daemon');
    await this.#greetNeighbour();
  }

  async stop(): Promise<void> {
    this.#neighbour?.frontEnd.close();
    if (this.daemon?.alive) await this.daemon.stop();
    for (const fd of this.#foreign) closeSync(fd);
    if (this.#folder) rmSync(this.#folder, { recursive: true });
    assert.deepEqual(this.daemon?.errors ?? [], [], 'the last words of the daemon');
  }

  async #deviceCaps(): Promise<number[]> {
    const caps: number[] = [];
    for (const node of this.nodes.keys()) {
      const guest = await Guest.boot(this.socket(node));
      caps.push((await guest.vmm.config()).readUInt32LE(0));
      guest.close();
    }
    return caps;
  }

  /** Checks that the other VM still gets its answers, and nothing else. */
  async #greetNeighbour(): Promise<void> {
    const { frontEnd, driver, session } = this.#neighbour;
    const type = Buffer.from([1, 0, 0, 0]);
    assert.equal((await driver.ioctl(session, 4, type)).readUInt32LE(0), 1);
    assert.deepEqual([frontEnd.crash, frontEnd.ended, driver.complaints], [undefined, undefined, []]);
  }

  /** Waits until the holdings have not changed for a moment: earlier clients have left by then. */
  async #quiet(): Promise<Holdings> {
    let last = '';
    let since = 0;
    await until(() => {
      const now = JSON.stringify(this.daemon.holdings());
      if (now !== last) since = performance.now();
      last = now;
      return performance.now() - since > 50;
    }, 'the daemon to be quiet');
    return this.daemon.holdings();
  }

  /** A DMABUF, an eventfd whose count would change if it were read, and a file with a position. */
  async #openForeign(): Promise<number[]> {
    const file = join(this.#folder, 'foreign');
    writeFileSync(file, 'file of the test');
    const counter = native.eventFd();
    native.signal(counter);
    return [await exportBuffer(this.nodes[0]!), counter, openSync(file, 'r+')];
  }
}

export const rig = new Rig();

/** A suite that needs vivid. Without vivid it says so and is skipped. */
export function onVivid(title: string, body: () => void): void {
  describe(`device: ${title}`, () => {
    before(async function () {
      this.timeout(60_000);
      if (rig.nodes.length > 0) return rig.start();
      console.error(
        `SKIPPED: test/device "${title}": no /dev/video of the driver vivid (run it in test/lab)`,
      );
      this.skip();
    });
    afterEach(() => rig.settle());
    body();
  });
}

after(() => rig.stop());
