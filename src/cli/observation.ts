/** How a running `serve` is seen: the control socket of --control, and the metrics of --metrics. */
import { ControlCommands } from '../control/commands.js';
import { CONTROL_VERSION } from '../control/protocol.js';
import { ControlServer } from '../control/server.js';
import { type PairReport, pairStatus } from '../daemon/report.js';
import type { Daemon } from '../daemon.js';
import { packageVersion } from '../package.js';

/** What the operator asked for. */
export interface ObservationFlags {
  /** The path of the control socket. */
  readonly control?: string;
  /** `unix:PATH`, `127.0.0.1:PORT` or `[::1]:PORT`. */
  readonly metrics?: string;
}

/** What `status` answers. */
export interface DaemonStatus {
  readonly daemon: string;
  readonly pid: number;
  /** Seconds since the start of the process. */
  readonly uptime: number;
  readonly pairs: readonly ReturnType<typeof pairStatus>[];
}

/** Something that listens while the daemon serves. */
interface Closeable {
  close(): void;
}

export class Observation {
  /** Other parts may add theirs before the daemon starts. */
  readonly commands = new ControlCommands();
  readonly #open: Closeable[] = [];

  constructor(
    private readonly flags: ObservationFlags,
    private readonly reports: () => readonly PairReport[],
  ) {
    this.commands.add('version', () => ({
      daemon: packageVersion(),
      protocol: CONTROL_VERSION,
      commands: this.commands.names,
    }));
    this.commands.add('status', () => this.#status());
  }

  /** Throws StartError. */
  async open(): Promise<void> {
    const { control, metrics } = this.flags;
    if (control !== undefined) this.#open.push(new ControlServer(control, this.commands));
    if (metrics === undefined) return;
    const { MetricsServer } = await import('../metrics/server.js');
    this.#open.push(await MetricsServer.open(metrics, this.reports));
  }

  /** Twice is harmless. */
  close(): void {
    for (const each of this.#open.splice(0)) each.close();
  }

  #status(): DaemonStatus {
    return {
      daemon: packageVersion(),
      pid: process.pid,
      uptime: Math.round(process.uptime()),
      pairs: this.reports().map(pairStatus),
    };
  }
}

/** A daemon that is seen from its start to its end. */
export class ObservedDaemon {
  constructor(
    private readonly daemon: Daemon,
    private readonly observation: Observation,
  ) {}

  /** Rejects with StartError, and then nothing listens. */
  async start(): Promise<void> {
    try {
      await this.observation.open();
      await this.daemon.start();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  stop(): Promise<void> {
    this.observation.close();
    return this.daemon.stop();
  }

  get identities(): readonly (string | undefined)[] {
    return this.daemon.identities;
  }

  get status(): string {
    return this.daemon.status;
  }
}
