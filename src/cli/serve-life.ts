/** The life of `serve`: from the start of its daemon to a signal or the last connection, and what others are told of it. */
import pTimeout from 'p-timeout';
import type { ServeOptions } from '../daemon.js';
import { log } from '../log.js';
import type { ServiceManager } from '../service-manager.js';
import { contain, type Host } from './containment.js';
import { ExitCode } from './exit.js';
import { vmmOptions } from './vmm-options.js';

/** After SIGTERM the process ends within a second. The kernel closes the files that are still open then. */
const STOP_TIMEOUT_MS = 800;

interface Served {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** What identifies the device of each pair, in words. */
  readonly identities?: readonly (string | undefined)[];
  /** What it serves to how many, in words. */
  readonly status: string;
}

/** Who is told of the life of the daemon. */
type Manager = Pick<ServiceManager, 'ready' | 'status' | 'stopping'>;

interface Signals {
  once(signal: NodeJS.Signals, listener: () => void): unknown;
}

/**
 * Runs a daemon until a signal arrives or its last connection ends. Returns the exit code. A second signal kills the
 * process, because the listeners are gone then. An error ends the daemon before it serves, but not afterwards.
 */
export async function serveUntilEnd(
  options: ServeOptions,
  create: (complete: ServeOptions) => Served,
  host: Signals & Host,
  print: (text: string) => void,
  manager: Manager,
): Promise<number> {
  const ending = new Ending();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
    host.once(signal, () => ending.because(signal));
  const daemon: Served = create({
    ...options,
    onEnd: () => ending.because('the front-end has left'),
    onVmm: () => manager.status(daemon.status),
  });
  const early = await Promise.race([daemon.start(), ending.reason]);
  contain(host);
  if (early === undefined) {
    print(vmmOptions(options.pairs, daemon.identities));
    manager.ready(daemon.status);
  }
  log.info(`ending: ${await ending.reason}`);
  manager.stopping();
  await stopInTime(daemon);
  return ExitCode.OK;
}

/** Keeps the first reason to end. Later ones have no effect. */
class Ending {
  because!: (reason: string) => void;
  readonly reason = new Promise<string>((resolve) => {
    this.because = resolve;
  });
}

function stopInTime(daemon: Served): Promise<void> {
  return pTimeout(daemon.stop(), {
    milliseconds: STOP_TIMEOUT_MS,
    fallback: () => log.warn('a device does not let go in time: leaving it to the kernel'),
  });
}
