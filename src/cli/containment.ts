/**
 * Keeps the process alive after faults, because VMs depend on it: QEMU aborts without its back-end. docs/reliability.md
 * says why it is safe to go on.
 */
import { errorLimited } from '../log.js';

/** The part of `process` that contain() needs. */
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
 * From now on, uncaught exceptions and unhandled rejections are logged as errors and do not end the process. Output is
 * dropped if its reader has closed it or if there is no space for it.
 */
export function contain(host: Host): void {
  for (const output of [host.stdout, host.stderr]) {
    output.removeAllListeners('error');
    output.on('error', () => undefined);
  }
  // The callback takes precedence over every `uncaughtException` listener. Node turns an unhandled rejection into an
  // uncaught exception.
  host.setUncaughtExceptionCaptureCallback((error) => {
    try {
      errorLimited('uncaught', 'a fault in virtio-media-bridge, please report it: it goes on', error);
    } catch {
      // The log does not work either.
    }
  });
}
