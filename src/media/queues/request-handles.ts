/**
 * Media requests that the guest makes itself (`--requests handles`, docs/stateless.md). The guest gets a request
 * handle, a number of this session. It puts the handle in every field in which V4L2 has a request_fd. No descriptor
 * crosses in either direction.
 */
import { Errno } from '../../errno.js';
import type { NodeCall } from '../../native.js';
import { failure, type Result } from '../../result.js';
import { closeRequest, type OpenMedia, type RequestCaller } from '../../v4l2/media-request.js';
import { MAX_REQUEST_HANDLES } from '../policy.js';

/** The request handles of one session. */
export class RequestHandles {
  /** Request handle to descriptor of the host's request. */
  readonly #requests = new Map<number, number>();
  /** A handle is never given out twice. 0 means no request. */
  #next = 1;
  #isClosed = false;

  /** `media`: the media device of the node. The caller owns it and keeps it open. */
  constructor(
    private readonly file: RequestCaller,
    private readonly media: OpenMedia,
  ) {}

  /** The descriptor of the request, which this object keeps; undefined: there is no such handle. */
  find(handle: number): number | undefined {
    return this.#requests.get(handle);
  }

  /**
   * Makes a request. Resolves to its handle. EMFILE: the session has MAX_REQUEST_HANDLES requests. EBADF: the session
   * closed meanwhile. Other errnos are those of MEDIA_IOC_REQUEST_ALLOC.
   */
  async allocate(): Promise<Result<number>> {
    if (this.#requests.size >= MAX_REQUEST_HANDLES) return failure(Errno.EMFILE);
    const call: NodeCall & { kind: 'allocateRequest' } = { kind: 'allocateRequest', media: this.media.fd };
    const errno = await this.file.call(call);
    if (errno !== 0 || call.request === undefined) return failure(errno || Errno.EIO);
    if (this.#isClosed) {
      closeRequest(this.file, call.request);
      return failure(Errno.EBADF);
    }
    const handle = this.#next++;
    this.#requests.set(handle, call.request);
    return handle;
  }

  /** MEDIA_REQUEST_IOC_QUEUE. Gives an errno; EINVAL: there is no such handle. */
  queue(handle: number): Promise<number> | number {
    return this.#run('queueRequest', handle);
  }

  /** MEDIA_REQUEST_IOC_REINIT. Gives an errno; EINVAL: there is no such handle. */
  reinit(handle: number): Promise<number> | number {
    return this.#run('reinitRequest', handle);
  }

  /** Closes a request. If it is queued, the kernel still carries it out. Returns an errno; EINVAL: no such handle. */
  close(handle: number): number {
    const fd = this.find(handle);
    if (fd === undefined) return Errno.EINVAL;
    this.#requests.delete(handle);
    closeRequest(this.file, fd);
    return 0;
  }

  /** The session ends. A request that is still being allocated is closed when it exists. Calling twice is harmless. */
  closeAll(): void {
    this.#isClosed = true;
    for (const handle of [...this.#requests.keys()]) this.close(handle);
  }

  #run(kind: 'queueRequest' | 'reinitRequest', handle: number): Promise<number> | number {
    const request = this.find(handle);
    return request === undefined ? Errno.EINVAL : this.file.call({ kind, request });
  }
}
