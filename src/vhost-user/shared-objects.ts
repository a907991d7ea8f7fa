/**
 * Objects of ours that other devices of the VM may ask for. The VMM is told of them while the device runs, and knows
 * them as long as the connection lasts: neither a stop nor a reset of the guest makes it forget one.
 */
import { Errno, errnoName } from '../errno.js';
import { warnLimited } from '../log.js';
import { BackendRequest } from './protocol.js';

/** Announcements that the front-end may leave unanswered: mappings always have room beside them. */
export const MAX_UNANSWERED_OBJECTS = 64;

/** 0, or why nothing was sent: then `done` is not called. Never calls it before it has returned. */
type Send = (request: number, uuid: Uint8Array, done: (errno: number) => void) => number;

export class SharedObjects {
  readonly #send: Send;
  /** UUIDs that the VMM knows, in hexadecimal. */
  readonly #told = new Set<string>();
  /** UUIDs that it does not know yet (true), or still knows (false). Small: what comes and goes untold leaves no trace. */
  readonly #untold = new Map<string, boolean>();
  #unanswered = 0;

  constructor(send: Send) {
    this.#send = send;
  }

  add(uuid: Uint8Array): void {
    this.#change(Buffer.from(uuid).toString('hex'), true);
    this.flush();
  }

  remove(uuid: Uint8Array): void {
    this.#change(Buffer.from(uuid).toString('hex'), false);
    this.flush();
  }

  /** Tells what can be told now; what cannot waits for the next call. */
  flush(): void {
    for (const [uuid, exists] of this.#untold) {
      if (this.#unanswered >= MAX_UNANSWERED_OBJECTS) return;
      const request = exists ? BackendRequest.SHARED_OBJECT_ADD : BackendRequest.SHARED_OBJECT_REMOVE;
      const answered = (errno: number) => this.#answered(uuid, exists, errno);
      if (this.#send(request, Buffer.from(uuid, 'hex'), answered) !== 0) return;
      this.#unanswered++;
      this.#note(uuid, exists);
      this.#untold.delete(uuid);
    }
  }

  #change(uuid: string, exists: boolean): void {
    if (this.#told.has(uuid) === exists) this.#untold.delete(uuid);
    else this.#untold.set(uuid, exists);
  }

  #note(uuid: string, exists: boolean): void {
    if (exists) this.#told.add(uuid);
    else this.#told.delete(uuid);
  }

  #answered(uuid: string, exists: boolean, errno: number): void {
    this.#unanswered--;
    if (errno === Errno.ECONNRESET) this.#lost(uuid, exists);
    // QEMU before 9.2 answers success with 1 and failure with 0: nothing may depend on it.
    else if (errno !== 0)
      warnLimited('vhost-user.object', 'the front-end does not take what it is told of a shared object', {
        uuid,
        exists,
        errno: errnoName(errno),
      });
  }

  /** The channel went with it: said once more on the next one, unless it was not the last word. */
  #lost(uuid: string, exists: boolean): void {
    if (this.#told.has(uuid) !== exists) return;
    this.#note(uuid, !exists);
    if (!this.#untold.delete(uuid)) this.#untold.set(uuid, exists);
  }
}
