/** A PCI function as firmware and a driver see it: configuration space, BARs, capabilities (PCI 3.0). */
import type { Qtest } from './qtest.js';

/** Configuration mechanism 1: I/O ports of the address and of the data. */
const Port = { ADDRESS: 0xcf8, DATA: 0xcfc, ENABLE: 0x8000_0000 } as const;
const Register = { ID: 0x00, COMMAND: 0x04, BAR: 0x10, SUBSYSTEM: 0x2c, CAPABILITIES: 0x34 } as const;
/** Bits of the command register. */
const Command = { MEMORY: 2, BUS_MASTER: 4 } as const;
/** Bits of a BAR. */
const Bar = { IO: 1, IS_64_BIT: 4, FLAGS: 0xf } as const;
const BARS = 6;
const SLOTS = 32;
/** Address for the BARs, above all RAM. No firmware has run that would choose one. */
const LOW_WINDOW = 0xe000_0000;
const HIGH_WINDOW = 0x8_0000_0000;

export interface BarRange {
  readonly address: number;
  readonly size: number;
}

export interface PciCapability {
  readonly id: number;
  /** Register at which the capability begins. */
  readonly at: number;
  /** Bytes from there on. The capability itself says how many belong to it. */
  readonly bytes: Buffer;
}

export class PciFunction {
  readonly qtest: Qtest;
  readonly vendor: number;
  readonly device: number;
  readonly #select: number;

  private constructor(qtest: Qtest, slot: number, id: number) {
    this.qtest = qtest;
    this.#select = (Port.ENABLE | (slot << 11)) >>> 0;
    this.vendor = id & 0xffff;
    this.device = id >>> 16;
  }

  /** The first function of bus 0 with that vendor; undefined: there is none. */
  static async find(qtest: Qtest, vendor: number): Promise<PciFunction | undefined> {
    for (let slot = 0; slot < SLOTS; slot++) {
      const id = await new PciFunction(qtest, slot, 0).readRegister(Register.ID);
      if ((id & 0xffff) === vendor) return new PciFunction(qtest, slot, id);
    }
    return undefined;
  }

  /** The 32-bit register at `offset`, a multiple of 4. */
  async readRegister(offset: number): Promise<number> {
    const [, value] = await Promise.all([this.#point(offset), this.qtest.inl(Port.DATA)]);
    return value;
  }

  async writeRegister(offset: number, value: number): Promise<void> {
    await Promise.all([this.#point(offset), this.qtest.outl(Port.DATA, value)]);
  }

  /** Subsystem vendor and device. */
  async subsystem(): Promise<{ vendor: number; device: number }> {
    const value = await this.readRegister(Register.SUBSYSTEM);
    return { vendor: value & 0xffff, device: value >>> 16 };
  }

  /** Does the firmware's work: gives every memory BAR an address, and lets the device decode and write memory. */
  async placeBars(): Promise<Map<number, BarRange>> {
    const placed = new Map<number, BarRange>();
    let low = LOW_WINDOW;
    let high = HIGH_WINDOW;
    for (let index = 0; index < BARS; index++) {
      const bar = await this.#measure(index);
      if (!bar) continue;
      const address = Math.ceil((bar.wide ? high : low) / bar.size) * bar.size;
      if (bar.wide) high = address + bar.size;
      else low = address + bar.size;
      placed.set(index, { address, size: bar.size });
      await this.#setBar(index, address, bar.wide);
      if (bar.wide) index++;
    }
    await this.writeRegister(Register.COMMAND, Command.MEMORY | Command.BUS_MASTER);
    return placed;
  }

  /** The list of capabilities in the device's order. */
  async capabilities(): Promise<PciCapability[]> {
    const found: PciCapability[] = [];
    let at = (await this.readRegister(Register.CAPABILITIES)) & 0xfc;
    while (at !== 0) {
      const bytes = Buffer.alloc(24);
      for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE(await this.readRegister(at + i), i);
      found.push({ id: bytes[0]!, at, bytes });
      at = bytes[1]! & 0xfc;
    }
    return found;
  }

  #point(offset: number): Promise<void> {
    return this.qtest.outl(Port.ADDRESS, this.#select | offset);
  }

  async #measure(index: number): Promise<{ size: number; wide: boolean } | undefined> {
    const register = Register.BAR + 4 * index;
    await this.writeRegister(register, 0xffff_ffff);
    const low = await this.readRegister(register);
    if (low === 0 || low & Bar.IO) return undefined;
    const wide = (low & Bar.IS_64_BIT) !== 0;
    if (wide) await this.writeRegister(register + 4, 0xffff_ffff);
    const high = wide ? await this.readRegister(register + 4) : 0xffff_ffff;
    const mask = (BigInt(high) << 32n) | BigInt((low & ~Bar.FLAGS) >>> 0);
    return { size: Number(BigInt.asUintN(64, -mask)), wide };
  }

  async #setBar(index: number, address: number, wide: boolean): Promise<void> {
    const register = Register.BAR + 4 * index;
    await this.writeRegister(register, address % 2 ** 32);
    if (wide) await this.writeRegister(register + 4, Math.floor(address / 2 ** 32));
  }
}
