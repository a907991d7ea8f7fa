/** A VMM and its guest's driver, connected to a daemon in another process. They are reset, killed and started again. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuestDriver } from '../../../src/client/guest-driver.js';
import type { Vmm } from '../../../src/client/vmm.js';
import { enter } from './serve-process.js';

/** Milliseconds. Whoever starts a VMM again needs longer than the kernel needs to tell the daemon of its end. */
const RESTART_MS = 20;

export class ShuffledGuest {
  frontEnd!: Vmm;
  driver!: GuestDriver;

  private constructor(private readonly socket: string) {}

  static async enter(socket: string): Promise<ShuffledGuest> {
    const guest = new ShuffledGuest(socket);
    Object.assign(guest, await enter(socket));
    return guest;
  }

  /** The guest resets the device, and its driver probes it again. */
  async reset(): Promise<void> {
    this.verify();
    await this.frontEnd.reset();
    this.driver.remove();
    this.driver = await GuestDriver.probe(this.frontEnd);
  }

  /** The VMM ends without a word, and another one is started. */
  async restart(): Promise<void> {
    this.verify();
    this.leave();
    await sleep(RESTART_MS);
    Object.assign(this, await enter(this.socket));
  }

  leave(): void {
    this.driver.remove();
    this.frontEnd.close();
  }

  /** Checks that nothing has happened that the Linux driver or a real VMM would not survive. */
  verify(): void {
    assert.deepEqual(this.driver.complaints, []);
    assert.equal(this.driver.lateAnswers, 0);
    assert.deepEqual(this.frontEnd.warnings, []);
  }
}
