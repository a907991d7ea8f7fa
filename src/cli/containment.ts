/**
 * What must not end a process that VMs depend on: QEMU aborts without its back-end. docs/reliability.md argues why
 * going on is safe.
 */
import { errorLimited } from '../log.js';

/** Of `process`. */
export interface Host {
  setUncaughtExceptionCaptureCallback(take: (error: Error) => void): void;
  readonly stdout: Output;
  readonly stderr: Output;
}

interface Output {
  removeAllListeners(event: 'error'): unknown;
  on(event: 'error', listener: () => void): unknown;
}

/**
 * From now on an exception that nobody catches, and a rejection that nobody handles, is an error in the log; and output
 * that nobody reads, or that finds no room, is lost.
 */
export function contain(host: Host): void {
  for (const output of [host.stdout, host.stderr]) {
    output.removeAllListeners('error');
    output.on('error', () => undefined);
  }
  // It comes before every `uncaughtException` listener, and Node makes an unhandled rejection an uncaught exception.
  host.setUncaughtExceptionCaptureCallback((error) => {
    try {
      errorLimited('uncaught', 'a fault in virtio-media-bridge, please report it: it goes on', error);
    } catch {
      // Not even the log works.
    }
  });
}
