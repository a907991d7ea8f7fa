/** Errors that a device throws. They are faults of the bridge, and the VMM must not notice them. */
import { errorLimited } from '../log.js';

/** Logs a fault of the device, with a limited rate. */
export function logFault(error: unknown): void {
  const message = 'the device of a VM failed: its sessions end, and the guest must reset it';
  errorLimited('vhost-user.fault', message, error);
}

/** Calls `run`. If it throws, the error is logged, and the caller goes on. */
export function guarded(run: () => void): void {
  try {
    run();
  } catch (error) {
    logFault(error);
  }
}
