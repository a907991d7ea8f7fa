/** What a device throws: a fault of ours, which its VMM must not notice. */
import { errorLimited } from '../log.js';

export function logFault(error: unknown): void {
  const message = 'the device of a VM failed: its sessions end, and the guest must reset it';
  errorLimited('vhost-user.fault', message, error);
}

/** Whatever fails in it, the rest goes on. */
export function guarded(run: () => void): void {
  try {
    run();
  } catch (error) {
    logFault(error);
  }
}
