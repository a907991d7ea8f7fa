/**
 * Media requests that the bridge makes for guests that know none (`--requests auto`): on a node that takes OUTPUT buffers
 * only in requests, each OUTPUT QBUF gets one, with the control values that the guest has set since the last one.
 */
import { Errno } from '../../errno.js';
import type { NodeCall } from '../../native.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { extControl, extControls, Which } from '../../v4l2/layout.js';
import { type OpenMedia, type RequestCaller, RequestPool } from '../../v4l2/media-request.js';

/** A value that the guest has set: struct v4l2_ext_control, and what its pointer stands for. */
export interface SetControl {
  readonly record: Uint8Array;
  readonly payload: Uint8Array | null;
}

export class ImplicitRequests {
  readonly #pool: RequestPool;
  /** By id. */
  readonly #set = new Map<number, SetControl>();
  /** Of the last request: a driver wants them in each, also where the guest changes nothing. */
  #last: readonly SetControl[] = [];
  /** The request of each OUTPUT buffer that the driver has. */
  readonly #queued = new Map<number, number>();

  /** `media`: the node's media device, which stays the caller's and open. */
  constructor(
    private readonly file: RequestCaller,
    media: OpenMedia,
  ) {
    this.#pool = new RequestPool(file, media);
  }

  /** S_EXT_CTRLS and S_CTRL have succeeded: the next request carries these. */
  remember(controls: readonly SetControl[]): void {
    for (const each of controls) this.#set.set(extControl.read(each.record).id, each);
  }

  /** QBUF of an OUTPUT buffer in a request of its own. On an error nothing of it is left, and the values wait for the next. */
  async queue(index: number, call: NodeCall & { kind: 'buffer' }): Promise<number> {
    const taken = await this.#pool.take();
    if (typeof taken === 'number') return taken === Errno.EMFILE ? Errno.EBUSY : taken;
    const { fd } = taken;
    const controls = this.#set.size > 0 ? [...this.#set.values()] : this.#last;
    const errno =
      (await this.#put(fd, controls)) ||
      (await this.file.call({ ...call, request: fd })) ||
      (await this.#pool.queue(fd));
    if (errno !== 0) {
      await this.#pool.withdraw(fd);
      return errno;
    }
    this.#last = controls;
    this.#set.clear();
    this.#queued.set(index, fd);
    return 0;
  }

  /** The OUTPUT buffer has come back, and with it its request. */
  returned(index: number): void {
    const fd = this.#queued.get(index);
    if (fd === undefined) return;
    this.#queued.delete(index);
    this.#pool.giveBack(fd);
  }

  /** STREAMOFF or REQBUFS of the OUTPUT queue: every buffer has come back. */
  stopped(): void {
    this.#queued.clear();
    this.#pool.giveBackAll();
  }

  /** Twice is harmless. */
  close(): void {
    this.#pool.close();
  }

  async #put(fd: number, controls: readonly SetControl[]): Promise<number> {
    if (controls.length === 0) return 0;
    const header = extControls.read(Buffer.alloc(extControls.size));
    return this.file.call({
      kind: 'controls',
      nr: Ioctl.S_EXT_CTRLS,
      controls: extControls.encode({ ...header, which: Which.CURRENT, count: controls.length }),
      array: Buffer.concat(controls.map(({ record }) => record)),
      payloads: controls.map(({ payload }) => payload && Buffer.from(payload)),
      request: fd,
    });
  }
}
