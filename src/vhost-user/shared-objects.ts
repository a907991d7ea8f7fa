/**
 * Objects that other devices of the VM may ask for. The bridge announces them to the VMM while the device runs. The
 * VMM knows them as long as the connection lasts: it forgets none when the guest stops or resets the device.
 */
import { Errno, errnoName } from '../errno.js';
import { warnLimited } from '../log.js';
import { BackendRequest } from './protocol.js';

/** The most announcements that may wait for an answer. It is so low that there is always room for mappings too. */
export const MAX_UNANSWERED_OBJECTS = 64;

/** Returns 0, or an errno if nothing was sent; then `done` is not called. Never calls `done` before it has returned. */
type Send = (request: number, uuid: Uint8Array, done: (errno: number) => void) => number;

/** The announcements of one connection. UUIDs are 16 bytes. */
export class SharedObjects {
  readonly #send: Send;
  /** UUIDs that the VMM knows, in hexadecimal. */
  readonly #told = new Set<string>();
  /**
   * UUIDs with an unannounced change: the VMM does not know the object yet (true), or still knows it (false). If an
   * object comes and goes unannounced, no entry stays; so the map is small.
   */
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

  /** Announces all changes that can be sent now. The others wait for the next call. */
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
    // QEMU before 9.2 answers success with 1 and failure with 0. So nothing may depend on the answer.
    else if (errno !== 0)
      warnLimited('vhost-user.object', 'the front-end refuses the announcement of a shared object', {
        uuid,
        exists,
        errno: errnoName(errno),
      });
  }

  /**
   * The channel closed before the answer came. The change is announced again on the next channel, unless a later
   * change has replaced it.
   */
  #lost(uuid: string, exists: boolean): void {
    if (this.#told.has(uuid) !== exists) return;
    this.#note(uuid, !exists);
    if (!this.#untold.delete(uuid)) this.#untold.set(uuid, exists);
  }
}
