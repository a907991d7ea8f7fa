/** A VMM and its guest's driver, connected to a daemon in another process. They are reset, killed and started again. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuestDriver } from '../../../src/client/guest-driver.js';
import { Vmm } from '../../../src/client/vmm.js';

/** Milliseconds. Whoever starts a VMM again needs longer than the kernel needs to tell the daemon of its end. */
const RESTART_MS = 20;

export class ShuffledGuest {
  frontEnd!: Vmm;
  driver!: GuestDriver;
  /** Addresses of mappings in SHM region 0, by session. */
  readonly #mapped = new Map<number, Set<number>>();

  private constructor(private readonly socket: string) {}

  static async enter(socket: string): Promise<ShuffledGuest> {
    const guest = new ShuffledGuest(socket);
    await guest.#enter();
    return guest;
  }

  /** A program is killed: the guest's kernel unmaps what the session has mapped, and closes it. */
  async kill(session: number): Promise<void> {
    for (const address of this.#mapped.get(session) ?? []) await this.driver.munmap(address);
    this.#mapped.delete(session);
    await this.driver.close(session);
  }

  async #enter(): Promise<void> {
    this.frontEnd = await Vmm.connect(this.socket, { vmm: 'qemu' });
    await this.#probe();
  }

  /** The guest's driver reads the configuration space, which counts until the next probe, and starts the device. */
  async #probe(): Promise<void> {
    await this.frontEnd.readConfig();
    this.#use(await GuestDriver.probe(this.frontEnd));
  }

  /** Notes which session has mapped what. */
  #use(driver: GuestDriver): void {
    this.driver = driver;
    this.#mapped.clear();
    const mmap = driver.mmap.bind(driver);
    const munmap = driver.munmap.bind(driver);
    driver.mmap = async (session, offset, ...more) => {
      const mapping = await mmap(session, offset, ...more);
      this.#mapped.set(session, (this.#mapped.get(session) ?? new Set()).add(mapping.driverAddress));
      return mapping;
    };
    driver.munmap = async (address) => {
      for (const addresses of this.#mapped.values()) addresses.delete(address);
      await munmap(address);
    };
  }

  /** The guest resets the device, and its driver probes it again. */
  async reset(): Promise<void> {
    this.verify();
    await this.frontEnd.reset();
    this.driver.remove();
    await this.#probe();
  }

  /** The VMM ends without a word, and another one is started. */
  async restart(): Promise<void> {
    this.verify();
    this.leave();
    await sleep(RESTART_MS);
    await this.#enter();
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
