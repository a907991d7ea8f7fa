/** A guest in a real QEMU, from power-on to its running driver. */
import { GuestDriver } from '../../../src/client/guest-driver.js';
import { Qemu, type Shape } from './qemu.js';
import { QemuMachine } from './qemu-machine.js';

export class Guest {
  readonly qemu: Qemu;
  machine: QemuMachine;
  driver: GuestDriver;

  private constructor(qemu: Qemu, machine: QemuMachine, driver: GuestDriver) {
    this.qemu = qemu;
    this.machine = machine;
    this.driver = driver;
  }

  /** Starts a QEMU on the vhost-user socket, and the driver in it. */
  static async boot(socket: string, shape: Partial<Shape> = {}): Promise<Guest> {
    const qemu = await Qemu.start(socket, shape);
    try {
      const machine = await QemuMachine.create(qemu);
      return new Guest(qemu, machine, await GuestDriver.probe(machine));
    } catch (error) {
      await qemu.close();
      throw error;
    }
  }

  /**
   * Starts a new driver on a device that was reset. Everything of the old driver is gone, its interrupt handler too: it
   * would take the interrupts of the new one.
   */
  async reboot(): Promise<void> {
    this.machine.attach(undefined);
    this.machine = await QemuMachine.create(this.qemu);
    this.driver = await GuestDriver.probe(this.machine);
  }

  /** Powers the guest off without telling the device. */
  async close(): Promise<void> {
    this.machine.attach(undefined);
    await this.qemu.close();
  }
}
