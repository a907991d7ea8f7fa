/**
 * The only declaration of the addon. C++ makes system calls; nothing here decides anything.
 *
 * Conventions: set-up calls throw an Error with `code`, `errno` and `syscall`; everything that is
 * called while a guest runs returns an errno (0: done). A descriptor that a call returns is the
 * caller's, O_CLOEXEC, and closed with fs.closeSync. No address ever reaches JavaScript.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** What `receive` got: `length` bytes (0: the peer closed) and the descriptors that came along. */
export interface Received {
  length: number;
  descriptors: number[];
}

/** Who is on the other side of a socket: the process that connected, as it was then. 65534: an id that has no name here. */
export interface PeerCredentials {
  pid: number;
  uid: number;
  gid: number;
}

/** An entry of the host's user database (nsswitch.conf). */
export interface UserEntry {
  name: string;
  uid: number;
  /** The primary group. */
  gid: number;
}

/**
 * Shared memory mapped from a descriptor (mmap(2), MAP_SHARED, read and write).
 * JavaScript sees it as windows: window i starts at byte i * WINDOW_STRIDE and is
 * min(size - start, WINDOW_STRIDE + WINDOW_OVERLAP) bytes long, so that every range of up to
 * WINDOW_OVERLAP bytes lies whole in one window. (A Node 20 ArrayBuffer ends at 4 GiB.) Never over the descriptor of a
 * V4L2 node, whose unmapping may block: that is the `map` call's.
 */
export interface Region {
  readonly size: number;
  readonly windows: readonly ArrayBuffer[];
  /** Detaches every window, then unmaps. Views read as empty afterwards. Twice is harmless. */
  close(): void;
}

/** Bytes of a mapped region. */
export interface RegionPiece {
  region: Region;
  offset: number;
  length: number;
}

/**
 * Pieces of regions one after the other in this process's address space: the same pages mapped once more, nothing
 * copied. Two that are alive at the same time never have the same address.
 */
export interface LinearMapping {
  readonly size: number;
  /** Unmaps. What a call still holds stays mapped until that call is over. Twice is harmless. */
  close(): void;
}

/** Where a plane of a USERPTR buffer lies: `length` bytes at `offset` of mapped memory. */
export interface PlaneMemory {
  region: Region | LinearMapping;
  offset: number;
  length: number;
}

/**
 * One call on an open V4L2 file. Byte arrays go in and come back in place; when the call is
 * submitted to the lane it works on private copies and the arrays are written at completion.
 * The errno of a call: what the kernel said (EINTR is retried), or EINVAL for a malformed call. A descriptor in a call is
 * lent: the caller may close its own as soon as the call was accepted.
 */
export type NodeCall =
  /** A pointer-free ioctl of the compiled allow-list; `payload` is exactly _IOC_SIZE bytes. ENOTTY: not in the list. */
  | { kind: 'ioctl'; nr: number; payload: Uint8Array }
  /** QUERYBUF (9), QBUF (15), PREPARE_BUF (93). `buffer`: 88 bytes; `planes`: n * 64 bytes, multi-planar types only.
   * `memory`: one entry a plane where the record says V4L2_MEMORY_USERPTR. `descriptors`: one DMABUF a plane where it says
   * V4L2_MEMORY_DMABUF; they are the caller's, and may be closed when the call was accepted. `request` (QBUF only): the media
   * request that the buffer is queued to, lent in the same way; without it V4L2_BUF_FLAG_REQUEST_FD is EINVAL. The record's
   * pointers and descriptors come back as 0, its flags as the kernel says. */
  | {
      kind: 'buffer';
      nr: number;
      buffer: Uint8Array;
      planes?: Uint8Array;
      memory?: readonly PlaneMemory[];
      descriptors?: readonly number[];
      request?: number;
    }
  /** DQBUF of `buffer`'s type and memory; pointers and descriptors come back as 0. */
  | { kind: 'dequeueBuffer'; buffer: Uint8Array; planes?: Uint8Array }
  /** DQEVENT; `event`: 136 bytes. */
  | { kind: 'dequeueEvent'; event: Uint8Array }
  /** G/S/TRY_EXT_CTRLS (71, 72, 73). `controls`: 32 bytes; `array`: 20 bytes a control; `payloads`: one entry a control,
   * null where the union holds a value. `size` must equal the payload's length; `ptr` fields keep the caller's bytes.
   * `request`: the media request whose values are meant, whatever `which` says; without it V4L2_CTRL_WHICH_REQUEST_VAL is
   * EINVAL. `which` comes back as it was. */
  | {
      kind: 'controls';
      nr: number;
      controls: Uint8Array;
      array: Uint8Array;
      payloads: readonly (Uint8Array | null)[];
      request?: number;
    }
  /** G_EDID (40), S_EDID (41). `edid`: 40 bytes, its pointer keeps the caller's bytes; `blocks`: exactly 128 bytes for each of
   * the record's blocks, at most 256 of them. Both come back on errors too. */
  | { kind: 'edid'; nr: number; edid: Uint8Array; blocks: Uint8Array }
  /** MEDIA_IOC_REQUEST_ALLOC on a media device; `request`, a new descriptor, is set when the errno is 0. ENOTTY: no media
   * device, or one without requests. */
  | { kind: 'allocateRequest'; media: number; request?: number }
  /** MEDIA_REQUEST_IOC_QUEUE. ENOTTY: no media request. */
  | { kind: 'queueRequest'; request: number }
  /** MEDIA_REQUEST_IOC_REINIT. ENOTTY: no media request. */
  | { kind: 'reinitRequest'; request: number }
  /** No ioctl: a request whose descriptor the caller closes now is closed on the lane. ENOTTY: no media request. */
  | { kind: 'closeRequest'; request: number }
  /** Maps `length` bytes of the node at `offset` (mmap(2)); `region` is set when the errno is 0. */
  | { kind: 'map'; offset: number; length: number; region?: Region }
  /** `linearMapping` of `pieces` on the lane, 16 bytes each: u64 offset, u32 bytes, u32 index into `regions`. `mapping` is set
   * when the errno is 0. */
  | { kind: 'join'; regions: readonly Region[]; pieces: Uint8Array; mapping?: LinearMapping }
  /** Sets the watcher's epoll mask (EPOLLET is added). Bits: NodeEvents. */
  | { kind: 'watch'; events: number };

/** epoll bits of a node's readiness. */
export const NodeEvents = { IN: 0x001, PRI: 0x002, OUT: 0x004, ERR: 0x008, HUP: 0x010 } as const;

/**
 * One open file on a V4L2 node, with its two threads: the lane (calls in order, and the close) and
 * the watcher (a private, edge-triggered epoll; no V4L2 descriptor ever enters libuv).
 */
export interface NodeFile {
  /** Opens O_RDWR | O_NONBLOCK | O_CLOEXEC on the lane and starts the watcher with EPOLLPRI. A number: duplicates that descriptor. EBUSY unless new; may be tried again after a failure. */
  open(path: string | number, done: (errno: number) => void): void;
  /** Runs the call on this thread, now. EBADF unless open. EAGAIN for what may wait: S_HW_FREQ_SEEK, and every call on a media device or request. */
  run(call: NodeCall): number;
  /** Runs the call on the lane after everything submitted before; `done` is called on the loop, in order. */
  submit(call: NodeCall, done: (errno: number) => void): void;
  /** Closes on the lane after everything submitted before; `onReady` is not called again. Twice is harmless. */
  close(done?: () => void): void;
}

/**
 * libuv poll on an ordinary descriptor (through an epoll of its own: the descriptor's flags are not touched).
 * Close it before the descriptor: epoll keeps the file otherwise.
 */
export interface FdPoller {
  /** Bits of PollEvents to wait for; level-triggered. 0: none. */
  watch(events: number): void;
  close(): void;
}

export const PollEvents = { READABLE: 1, WRITABLE: 4 } as const;

export interface Native {
  readonly WINDOW_STRIDE: number;
  readonly WINDOW_OVERLAP: number;

  /**
   * A listening AF_UNIX stream socket. A stale socket file that nobody serves is replaced. The file has this mode, 0600 unless
   * told, whatever the umask, and this owner and group, before anybody can connect. Throws.
   */
  listen(path: string, mode?: number, uid?: number, gid?: number): number;
  /** Connects to an AF_UNIX stream socket. Throws. */
  connect(path: string): number;
  /** A connected pair. Throws. */
  socketPair(): [number, number];
  /** The next connection of a listening socket, or -errno (-EAGAIN: none waits). */
  accept(fd: number): number;
  /** SO_PEERCRED, or -errno. */
  peerCredentials(fd: number): PeerCredentials | number;
  /** One recvmsg into `into`. -errno on failure: -EAGAIN, -ECONNRESET, -EMSGSIZE when descriptors were cut off. Never blocks. */
  receive(fd: number, into: Uint8Array): Received | number;
  /** One sendmsg of all bytes with the descriptors on the first one: bytes sent, or -errno. Never blocks, no SIGPIPE. */
  send(fd: number, bytes: Uint8Array, descriptors: readonly number[]): number;

  /** Memory held by what was sent on a stream socket and not read by the peer yet (SIOCOUTQ), 0: all was read. Or -errno. */
  unreadBytes(fd: number): number;

  /** A new eventfd (EFD_NONBLOCK). Throws. */
  eventFd(): number;
  /** Whether the descriptor is an eventfd: only then is it safe to read or write it. */
  isEventFd(fd: number): boolean;
  /** The eventfd's count, which becomes 0, or -errno. Never blocks, whatever the descriptor's flags. */
  drain(fd: number): number;
  /** Adds 1 to the eventfd; a saturated counter is no error. Returns an errno. Never blocks. */
  signal(fd: number): number;

  /** An anonymous file of `size` bytes, sealed against shrinking, growing and further seals. Throws. */
  memoryFile(name: string, size: number): number;
  /** Gives the pages of a range back (FALLOC_FL_PUNCH_HOLE): it reads as zeros. Returns an errno. */
  punchHole(fd: number, offset: number, length: number): number;
  /** Maps `size` bytes at `offset` of a descriptor. Throws: EINVAL also where the file is shorter than that. */
  Region: new (
    fd: number,
    offset: number,
    size: number,
  ) => Region;

  /**
   * Makes `pieces` contiguous. Every piece lies in a region that maps shared memory (not a node); each but the first starts, and each
   * but the last ends, on a page boundary in memory. An errno: EINVAL also for pieces that cannot be joined; ENOMEM.
   */
  linearMapping(pieces: readonly RegionPiece[]): LinearMapping | number;

  FdPoller: new (fd: number, callback: (events: number) => void) => FdPoller;
  NodeFile: new (onReady: (events: number) => void) => NodeFile;

  /** By name or number; undefined: there is none. Throws. */
  user(which: string | number): UserEntry | undefined;
  /** By name or number; undefined: there is none. Throws. */
  group(which: string | number): { name: string; gid: number } | undefined;

  /** Every capability out of this thread's bounding set: no program that it starts can get one. An errno; EPERM: needs CAP_SETPCAP. */
  dropBoundingSet(): number;
  /** Real, effective, saved and file system ids of every thread; no supplementary groups. An errno; EPERM: needs CAP_SETUID and CAP_SETGID. */
  become(uid: number, gid: number): number;
  /** Permitted, effective, inheritable and ambient set of this thread. An errno. */
  clearCapabilities(): number;
  /** Of this thread: no program that it starts gets more than it has. For good. An errno. */
  noNewPrivileges(): number;
  /** Gives this thread's no_new_privs to every thread, by a seccomp filter that allows everything. An errno: EINVAL where the kernel has no filters. */
  shareNoNewPrivileges(): number;
  /** No core dump; others of the same user cannot look into this process. An errno. */
  undumpable(): number;
  /** execve(2) of this thread, all others end; `inherited` stay open. Returns only where it fails: an errno. */
  execute(
    path: string,
    argv: readonly string[],
    environment: readonly string[],
    inherited: readonly number[],
  ): number;

  /** `sizeof v4l2_buffer`, `offsetof v4l2_buffer.m`, `nr VIDIOC_QBUF`, `size VIDIOC_QBUF`, `dir VIDIOC_QBUF` (1 W, 2 R, 3 WR) as the compiler sees them. */
  layout(): Record<string, number>;
}

/** VMB_ADDON names another build of the addon (the lab's, where its C library is older). */
export const addonPath =
  process.env.VMB_ADDON ??
  fileURLToPath(new URL('../../build/Release/virtio_media_bridge.node', import.meta.url));

export const native: Native = createRequire(import.meta.url)(addonPath) as Native;
