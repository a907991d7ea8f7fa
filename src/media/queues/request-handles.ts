/**
 * Media requests as a guest's own (`--requests handles`, docs/stateless.md): a handle is a number of this session, which
 * stands for a request of the host wherever V4L2 has a request_fd. No descriptor crosses, either way.
 */
import { Errno } from '../../errno.js';
import type { NodeCall } from '../../native.js';
import { closeRequest, type OpenMedia, type RequestCaller } from '../../v4l2/media-request.js';
import { MAX_REQUEST_HANDLES } from '../policy.js';

export class RequestHandles {
  readonly #requests = new Map<number, number>();
  /** Never the same twice; 0 is none. */
  #next = 1;
  #isClosed = false;

  /** `media`: the node's media device, which stays the caller's and open. */
  constructor(
    private readonly file: RequestCaller,
    private readonly media: OpenMedia,
  ) {}

  /** The request's descriptor, which stays here; undefined: there is no such handle. */
  find(handle: number): number | undefined {
    return this.#requests.get(handle);
  }

  /** A new request, or a negative errno: -EMFILE where the session has as many as it may. */
  async allocate(): Promise<number> {
    if (this.#requests.size >= MAX_REQUEST_HANDLES) return -Errno.EMFILE;
    const call: NodeCall & { kind: 'allocateRequest' } = { kind: 'allocateRequest', media: this.media.fd };
    const errno = await this.file.call(call);
    if (errno !== 0 || call.request === undefined) return -(errno || Errno.EIO);
    if (this.#isClosed) {
      closeRequest(this.file, call.request);
      return -Errno.EBADF;
    }
    const handle = this.#next++;
    this.#requests.set(handle, call.request);
    return handle;
  }

  queue(handle: number): Promise<number> | number {
    return this.#run('queueRequest', handle);
  }

  reinit(handle: number): Promise<number> | number {
    return this.#run('reinitRequest', handle);
  }

  /** A request that is queued is carried out all the same: the kernel keeps it. */
  close(handle: number): number {
    const fd = this.find(handle);
    if (fd === undefined) return Errno.EINVAL;
    this.#requests.delete(handle);
    closeRequest(this.file, fd);
    return 0;
  }

  /** The session ends; a request that is still being allocated goes when it is there. Twice is harmless. */
  closeAll(): void {
    this.#isClosed = true;
    for (const handle of [...this.#requests.keys()]) this.close(handle);
  }

  #run(kind: 'queueRequest' | 'reinitRequest', handle: number): Promise<number> | number {
    const request = this.find(handle);
    return request === undefined ? Errno.EINVAL : this.file.call({ kind, request });
  }
}
