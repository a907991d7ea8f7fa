/** A whole daemon with a real socket, and a VMM with a guest driver that is connected to it, all in this process. */
import assert from 'node:assert/strict';
import { DriverError } from '../../../src/client/driver-error.js';
import { GuestDriver } from '../../../src/client/guest-driver.js';
import { Vmm, type VmmOptions } from '../../../src/client/vmm.js';
import { Daemon, type ServeOptions } from '../../../src/daemon.js';
import { plainly } from './serve-options.js';

export interface StageOptions {
  readonly frontEnd: Partial<VmmOptions>;
  readonly serve: Partial<ServeOptions>;
  readonly lane: NonNullable<Parameters<typeof GuestDriver.probe>[1]>;
}

let sockets = 0;

export class Stage {
  frontEnd!: Vmm;
  driver!: GuestDriver;
  readonly #daemon: Daemon;
  readonly #options: Partial<StageOptions>;

  private constructor(
    readonly socket: string,
    device: string,
    options: Partial<StageOptions>,
  ) {
    this.#options = options;
    this.#daemon = new Daemon(plainly([{ device, socket: { path: socket } }], 32 << 20, options.serve));
  }

  static async open(device: string, options: Partial<StageOptions> = {}): Promise<Stage> {
    const stage = new Stage(`/tmp/vmb-lab-${process.pid}-${sockets++}.sock`, device, options);
    await stage.#daemon.start();
    await stage.enter();
    return stage;
  }

  /** Connects a VMM, whose guest driver probes the device. */
  async enter(): Promise<void> {
    await this.connect();
    await this.probe();
  }

  /** Connects a VMM whose guest does not run yet. */
  async connect(): Promise<void> {
    this.frontEnd = await Vmm.connect(this.socket, { vmm: 'qemu', ...this.#options.frontEnd });
  }

  /** The guest's driver reads the configuration space and starts the device. */
  async probe(): Promise<void> {
    await this.frontEnd.readConfig();
    this.driver = await GuestDriver.probe(this.frontEnd, this.#options.lane);
  }

  /** The guest resets the device, and its driver probes it anew. */
  async reset(): Promise<void> {
    this.driver.remove();
    await this.frontEnd.reset();
    await this.probe();
  }

  /** Disconnects the VMM. The daemon stays. */
  leave(): void {
    this.driver.remove();
    this.frontEnd.close();
  }

  /** Checks that nothing has happened that the Linux driver or a real VMM would not survive. */
  verify(): void {
    assert.deepEqual(this.driver.complaints, []);
    assert.equal(this.driver.lateAnswers, 0);
    assert.equal(this.frontEnd.crash, undefined);
    assert.deepEqual(this.frontEnd.warnings, []);
    assert.deepEqual(
      this.frontEnd.rings.map(({ errors }) => errors),
      [0, 0],
    );
  }

  async close(): Promise<void> {
    this.leave();
    await this.#daemon.stop();
  }

  stopDaemon(): Promise<void> {
    return this.#daemon.stop();
  }
}

/** Runs a test on a stage of its own. The stage is verified at the end, and closed in any case. */
export async function onStage(
  device: string,
  options: Partial<StageOptions>,
  play: (stage: Stage) => Promise<void>,
): Promise<void> {
  const stage = await Stage.open(device, options);
  try {
    await play(stage);
    stage.verify();
  } finally {
    await stage.close();
  }
}

/** The errno of a refused command of the driver; 0: it succeeded. */
export async function errnoOf(command: Promise<unknown>): Promise<number> {
  try {
    await command;
    return 0;
  } catch (error) {
    if (error instanceof DriverError) return error.errno;
    throw error;
  }
}
