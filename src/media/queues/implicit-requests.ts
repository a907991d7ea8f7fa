/**
 * Implicit requests (`--requests auto`): media requests that the bridge makes for guests that do not use requests. If a
 * node takes OUTPUT buffers only in requests, the bridge makes a request for each OUTPUT QBUF. The request carries every
 * control value that the guest had set before it. While the driver has a frame, values that the guest sets reach the
 * driver in the next request only, because the driver uses its current values for frames that it has not decoded yet.
 */
import { Errno } from '../../errno.js';
import type { NodeCall } from '../../native.js';
import { isFailure } from '../../result.js';
import { encoded } from '../../struct.js';
import { extControl, extControls, Which } from '../../v4l2/control-layout.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { type OpenMedia, type RequestCaller, RequestPool } from '../../v4l2/media-request.js';

/** A control value that the guest has set. */
export interface SetControl {
  /** struct v4l2_ext_control, 20 bytes. */
  readonly record: Uint8Array;
  /** The bytes that the record's pointer refers to; null: the control has no payload. */
  readonly payload: Uint8Array | null;
}

/** The implicit requests of one session. */
export class ImplicitRequests {
  readonly #pool: RequestPool;
  /** Values that the guest has set, by control id. */
  readonly #values = new Map<number, SetControl>();
  /** Fourcc of the OUTPUT queue; null: the guest has not set it. */
  #fourcc: number | null = null;
  /** Descriptor of the request of each OUTPUT buffer that the driver has, by buffer index. */
  readonly #queued = new Map<number, number>();

  /** `media`: the media device of the node. The caller owns it and keeps it open. */
  constructor(
    private readonly file: RequestCaller,
    media: OpenMedia,
  ) {
    this.#pool = new RequestPool(file, media);
  }

  /** Whether the driver has frames, so it only checks and adjusts values now; the next request sets them. */
  get isDeferring(): boolean {
    return this.#queued.size > 0;
  }

  /** S_EXT_CTRLS or S_CTRL has succeeded: all later requests carry these values. */
  remember(controls: readonly SetControl[]): void {
    for (const each of controls) this.#values.set(extControl.read(each.record).id, each);
  }

  /** S_FMT of the OUTPUT queue has succeeded. The values of another codec would be refused with the new one. */
  formatSet(fourcc: number): void {
    if (this.#fourcc !== null && this.#fourcc !== fourcc) this.#values.clear();
    this.#fourcc = fourcc;
  }

  /**
   * QBUF of the OUTPUT buffer `index` in a new request. Resolves to an errno; EBUSY: as many requests as the pool
   * allows are in use. After an error no request is left.
   */
  async queue(index: number, call: NodeCall & { kind: 'buffer' }): Promise<number> {
    const fd = await this.#pool.take();
    if (isFailure(fd)) return fd.errno === Errno.EMFILE ? Errno.EBUSY : fd.errno;
    const errno =
      (await this.#put(fd, [...this.#values.values()])) ||
      (await this.file.call({ ...call, request: fd })) ||
      (await this.#pool.queue(fd));
    if (errno !== 0) {
      await this.#pool.withdraw(fd);
      return errno;
    }
    this.#queued.set(index, fd);
    return 0;
  }

  /** The OUTPUT buffer has come back from the driver, so its request can be used again. */
  returned(index: number): void {
    const fd = this.#queued.get(index);
    if (fd === undefined) return;
    this.#queued.delete(index);
    this.#pool.giveBack(fd);
  }

  /** STREAMOFF or REQBUFS of the OUTPUT queue has returned every buffer. */
  stopped(): void {
    this.#queued.clear();
    this.#pool.giveBackAll();
  }

  /** Closes every request. Calling twice is harmless. */
  close(): void {
    this.#pool.close();
  }

  /** Sets the values in a request. Resolves to an errno. */
  async #put(fd: number, controls: readonly SetControl[]): Promise<number> {
    if (controls.length === 0) return 0;
    return this.file.call({
      kind: 'controls',
      nr: Ioctl.S_EXT_CTRLS,
      controls: encoded(extControls, { which: Which.CURRENT, count: controls.length }),
      array: Buffer.concat(controls.map(({ record }) => record)),
      payloads: controls.map(({ payload }) => payload && Buffer.from(payload)),
      request: fd,
    });
  }
}
