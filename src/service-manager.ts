/**
 * The service manager that has started this process, and what it is told of it: sd_notify(3). Without a service manager
 * nothing is sent.
 */
import { warnLimited } from './log.js';
import { native } from './native.js';
import { printable } from './printable.js';

/** Variables of the environment by which a service manager says what it wants to know. */
const VARIABLES = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'] as const;
/** Of the time after which the service manager takes the process for dead. */
const WATCHDOG_SHARE = 1 / 2;

export class ServiceManager {
  #watchdog: NodeJS.Timeout | null = null;

  private constructor(
    private readonly socket: string | undefined,
    /** Milliseconds between two signs of life. 0: none is wanted. */
    private readonly interval: number,
  ) {}

  /** Deletes the variables from `env`, so that no child process uses them. */
  static of(env: NodeJS.ProcessEnv, pid: number): ServiceManager {
    const { NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID } = env;
    for (const name of VARIABLES) delete env[name];
    const isOurs = WATCHDOG_PID === undefined || Number(WATCHDOG_PID) === pid;
    const milliseconds = isOurs ? (Number(WATCHDOG_USEC) / 1000) * WATCHDOG_SHARE : 0;
    return new ServiceManager(NOTIFY_SOCKET || undefined, milliseconds >= 1 ? Math.floor(milliseconds) : 0);
  }

  /** The process serves. From now on it gives signs of life, as long as its loop turns. */
  ready(status: string): void {
    this.#send('READY=1', statusLine(status));
    if (this.socket === undefined || this.interval === 0) return;
    this.#watchdog = setInterval(() => this.#send('WATCHDOG=1'), this.interval);
    this.#watchdog.unref();
  }

  /** What `systemctl status` shows. */
  status(text: string): void {
    this.#send(statusLine(text));
  }

  /** The process ends. */
  stopping(): void {
    if (this.#watchdog) clearInterval(this.#watchdog);
    this.#send('STOPPING=1');
  }

  #send(...lines: readonly string[]): void {
    if (this.socket === undefined) return;
    const errno = native.sendDatagram(this.socket, lines.join('\n'));
    if (errno !== 0) warnLimited('notify', 'the service manager cannot be told', { errno });
  }
}

/** A status is one line. */
const statusLine = (text: string): string => `STATUS=${printable(text)}`;
