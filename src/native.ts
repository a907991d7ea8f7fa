/**
 * The only declaration of the addon. C++ makes system calls; nothing here decides anything.
 *
 * Conventions: set-up calls throw an Error with `code`, `errno` and `syscall`. Functions that are called while a guest
 * runs do not throw. A function without a value returns a status: an errno, 0 for success. A function with a value
 * returns Returned: give what it returns to `resultOf` (result.ts). A descriptor that a call returns belongs to the
 * caller, is O_CLOEXEC and is closed with fs.closeSync. No address ever reaches JavaScript.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import type {
  NativeCommandTable,
  NativeGuestMemory,
  NativeRecords,
  NativeRing,
  RingOptions,
  SharedFile,
} from './native-ring.js';
import { inPackage } from './package.js';

/** A value, which is never a negative number; or -errno. */
export type Returned<T> = T | number;

/** The value of `receive`: `length` bytes (0: the peer has closed) and the descriptors that came with them. */
export interface Received {
  length: number;
  descriptors: number[];
}

/**
 * The process on the other side of a socket, with the ids that it had when it connected. 65534: the id has no mapping
 * in this user namespace.
 */
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
 * Shared memory that is mapped from a descriptor (mmap(2), MAP_SHARED, read and write). JavaScript sees it as windows:
 * window i starts at byte i * WINDOW_STRIDE and is min(size - start, WINDOW_STRIDE + WINDOW_OVERLAP) bytes long. So
 * every range of up to WINDOW_OVERLAP bytes lies in one window. (An ArrayBuffer of Node 20 has at most 4 GiB.) Use the
 * call `map`, not this constructor, for the descriptor of a V4L2 node, because unmapping a node may block.
 */
export interface Region {
  readonly size: number;
  readonly windows: readonly ArrayBuffer[];
  /** Detaches every window, then unmaps. Afterwards views read as empty. Closing twice is harmless. */
  close(): void;
}

/** `length` bytes at `offset` of a mapped region. */
export interface RegionPiece {
  region: Region;
  offset: number;
  length: number;
}

/**
 * Pieces of regions, one after the other in the address space of this process. The same pages are mapped once more;
 * nothing is copied. Two linear mappings that exist at the same time never have the same address.
 */
export interface LinearMapping {
  readonly size: number;
  /** Unmaps. If a call still uses the mapping, it stays until that call is over. Closing twice is harmless. */
  close(): void;
}

/** The memory of one plane of a USERPTR buffer: `length` bytes at `offset` of mapped memory. */
export interface PlaneMemory {
  region: Region | LinearMapping;
  offset: number;
  length: number;
}

/**
 * One call on an open V4L2 file. Its byte arrays are input and output: the results are written into the same arrays. A
 * call works on private copies, and the arrays are written at its completion. The errno of a call is the kernel's (a
 * call is repeated after EINTR), or EINVAL if the call is malformed. A descriptor in a call is lent: the caller may
 * close its own as soon as the call has been accepted.
 */
export type NodeCall =
  /** An ioctl of the compiled allow-list, whose payload has no pointers. `payload`: exactly _IOC_SIZE bytes. ENOTTY:
   * the number is not in the list. */
  | { kind: 'ioctl'; nr: number; payload: Uint8Array }
  /** QUERYBUF (9), QBUF (15), PREPARE_BUF (93). `buffer`: 88 bytes. `planes`: n * 64 bytes, for multi-planar types
   * only. `memory`: one entry for each plane if the record says V4L2_MEMORY_USERPTR. `descriptors`: one DMABUF for each
   * plane if the record says V4L2_MEMORY_DMABUF; they are lent. `request` (QBUF only): the media request that the
   * buffer is queued to; it is lent too. Without `request`, V4L2_BUF_FLAG_REQUEST_FD gives EINVAL. The pointers and
   * descriptors of the record come back as 0, and its flags as the kernel sets them. */
  | {
      kind: 'buffer';
      nr: number;
      buffer: Uint8Array;
      planes?: Uint8Array;
      memory?: readonly PlaneMemory[];
      descriptors?: readonly number[];
      request?: number;
    }
  /** DQBUF with the type and memory of `buffer`. Pointers and descriptors come back as 0. */
  | { kind: 'dequeueBuffer'; buffer: Uint8Array; planes?: Uint8Array }
  /** DQEVENT. `event`: 136 bytes. */
  | { kind: 'dequeueEvent'; event: Uint8Array }
  /** G/S/TRY_EXT_CTRLS (71, 72, 73). `controls`: 32 bytes. `array`: 20 bytes for each control. `payloads`: one entry
   * for each control; null: its union has a value. `size` must be the length of the payload. `ptr` fields keep the
   * caller's bytes. `request`: the media request whose values are meant; `which` is ignored then. Without `request`,
   * V4L2_CTRL_WHICH_REQUEST_VAL gives EINVAL. `which` comes back unchanged. */
  | {
      kind: 'controls';
      nr: number;
      controls: Uint8Array;
      array: Uint8Array;
      payloads: readonly (Uint8Array | null)[];
      request?: number;
    }
  /** G_EDID (40), S_EDID (41). `edid`: 40 bytes; its pointer keeps the caller's bytes. `blocks`: exactly 128 bytes for
   * each block that the record counts, at most 256 blocks. Both arrays are written on errors too. */
  | { kind: 'edid'; nr: number; edid: Uint8Array; blocks: Uint8Array }
  /** MEDIA_IOC_REQUEST_ALLOC on a media device. If the errno is 0, `request` is set to a new descriptor. ENOTTY:
   * `media` is no media device, or the device has no requests. */
  | { kind: 'allocateRequest'; media: number; request?: number }
  /** MEDIA_REQUEST_IOC_QUEUE. ENOTTY: the descriptor is no media request. */
  | { kind: 'queueRequest'; request: number }
  /** MEDIA_REQUEST_IOC_REINIT. ENOTTY: the descriptor is no media request. */
  | { kind: 'reinitRequest'; request: number }
  /** Makes no ioctl. The caller closes its own descriptor after this call was accepted, so the lane closes the last
   * one. ENOTTY: the descriptor is no media request. */
  | { kind: 'closeRequest'; request: number }
  /** Maps `length` bytes of the node at `offset` (mmap(2)). If the errno is 0, `region` is set. */
  | { kind: 'map'; offset: number; length: number; region?: Region }
  /** Runs `linearMapping` on the lane. `pieces`: 16 bytes each: u64 offset, u32 bytes, u32 index into `regions`. If the
   * errno is 0, `mapping` is set. */
  | { kind: 'join'; regions: readonly Region[]; pieces: Uint8Array; mapping?: LinearMapping }
  /** Sets the epoll mask of the watcher; EPOLLET is added. Bits: NodeEvents. */
  | { kind: 'watch'; events: number }
  /** poll(2) for no event; it does not wait. If the errno is 0, `ready` is set: ERR, HUP (the node is unregistered), or
   * 0. */
  | { kind: 'poll'; ready?: number };

/** The epoll bits that a node's watcher reports. */
export const NodeEvents = { IN: 0x001, PRI: 0x002, OUT: 0x004, ERR: 0x008, HUP: 0x010 } as const;

/**
 * One open file on a V4L2 node, with two threads: the lane runs the calls and the close in order; the watcher has a
 * private, edge-triggered epoll, because no V4L2 descriptor may enter libuv.
 */
export interface NodeFile extends SharedFile {
  /** Opens with O_RDWR | O_NONBLOCK | O_CLOEXEC on the lane and starts the watcher with EPOLLPRI. EBUSY: open() was
   * called before and did not fail. */
  open(path: string, done: (errno: number) => void): void;
  /** Runs the call on the lane after all that were submitted before. `done` is called on the loop, in order. EBADF:
   * the file is not open. */
  submit(call: NodeCall, done: (errno: number) => void): void;
  /** Closes on the lane after all calls that were submitted before. `onReady` is not called again. Closing twice is
   * harmless. */
  close(done?: () => void): void;
}

/**
 * A libuv poll on an ordinary descriptor. It uses an epoll of its own, so the flags of the descriptor do not change.
 * Close the poller before the descriptor, because otherwise epoll keeps the file.
 */
export interface FdPoller {
  /** Sets the bits of PollEvents to wait for, level-triggered. 0: none. */
  watch(events: number): void;
  close(): void;
}

/** The epoll bits of an FdPoller. */
export const PollEvents = { READABLE: 1, WRITABLE: 4 } as const;

/** The functions and classes of the addon. */
export interface Native extends NativeRecords {
  GuestMemory: new () => NativeGuestMemory;
  /** `rules`: five words for each ioctl number (addon/row_rule.h); 5,120 bytes. Throws TypeError. */
  CommandTable: new (
    rules: Uint8Array,
  ) => NativeCommandTable;
  Ring: new (...options: RingOptions) => NativeRing;
  readonly WINDOW_STRIDE: number;
  readonly WINDOW_OVERLAP: number;

  /**
   * A listening AF_UNIX stream socket. A socket file that no process serves is replaced. The file gets `mode` (absent:
   * 0600), `uid` and `gid` before any process can connect. The umask matters only for 0600 without `uid` and `gid`.
   * Throws.
   */
  listen(path: string, mode?: number, uid?: number, gid?: number): number;
  /** Connects to an AF_UNIX stream socket. Throws. */
  connect(path: string): number;
  /** A connected pair. Throws. */
  socketPair(): [number, number];
  /** The next connection of a listening socket. EAGAIN: no connection waits. */
  accept(fd: number): Returned<number>;
  /** SO_PEERCRED. */
  peerCredentials(fd: number): Returned<PeerCredentials>;
  /** One recvmsg into `into`. EAGAIN: nothing waits. EMSGSIZE: descriptors were cut off. Never blocks. */
  receive(fd: number, into: Uint8Array): Returned<Received>;
  /** One sendmsg of `bytes`, with the descriptors on the first byte. Returns the bytes that were sent. Never blocks and
   * raises no SIGPIPE. */
  send(fd: number, bytes: Uint8Array, descriptors: readonly number[]): Returned<number>;
  /** One datagram to the AF_UNIX socket at `path`; a name that begins with @ is abstract. Never blocks. */
  sendDatagram(path: string, text: string): number;

  /** Bytes of memory for data that was sent on a stream socket and that the peer has not read yet (SIOCOUTQ). 0: the
   * peer has read all. */
  unreadBytes(fd: number): Returned<number>;

  /** A new eventfd (EFD_NONBLOCK). Throws. */
  eventFd(): number;
  /** Whether the descriptor is an eventfd: only then is it safe to read or write it. */
  isEventFd(fd: number): boolean;
  /** Reads the count of the eventfd, which becomes 0. Never blocks, whatever the descriptor's flags are. */
  drain(fd: number): Returned<number>;
  /** Adds 1 to the count of the eventfd. A saturated count is no error. Returns an errno. Never blocks. */
  signal(fd: number): number;

  /** An anonymous file of `size` bytes, sealed against shrinking, growing and further seals. Throws. */
  memoryFile(name: string, size: number): number;
  /** Frees the pages of a range (FALLOC_FL_PUNCH_HOLE), which reads as zeros afterwards. Returns an errno. */
  punchHole(fd: number, offset: number, length: number): number;
  /** Maps `size` bytes at `offset` of a descriptor. Throws; EINVAL also if the file is shorter. */
  Region: new (
    fd: number,
    offset: number,
    size: number,
  ) => Region;

  /**
   * Maps `pieces` one after the other. Every piece lies in a region that maps shared memory (not a node). Each piece
   * but the first must start on a page boundary in memory, and each but the last must end on one. EINVAL also if the
   * pieces cannot be joined; ENOMEM.
   */
  linearMapping(pieces: readonly RegionPiece[]): Returned<LinearMapping>;

  FdPoller: new (fd: number, callback: (events: number) => void) => FdPoller;
  NodeFile: new (onReady: (events: number) => void) => NodeFile;

  /** Looks up a user by name or number. Undefined: there is none. Throws. */
  user(which: string | number): UserEntry | undefined;
  /** Looks up a group by name or number. Undefined: there is none. Throws. */
  group(which: string | number): { name: string; gid: number } | undefined;

  /** Removes every capability from the bounding set of this thread, so no program that it starts can get one. Returns
   * an errno; EPERM: the thread needs CAP_SETPCAP. */
  dropBoundingSet(): number;
  /** Sets real, effective, saved and file system ids of every thread, and removes the supplementary groups. Returns an
   * errno; EPERM: the process needs CAP_SETUID and CAP_SETGID. */
  become(uid: number, gid: number): number;
  /** Clears the permitted, effective, inheritable and ambient set of this thread. Returns an errno. */
  clearCapabilities(): number;
  /** Sets no_new_privs for this thread: no program that it starts gets more privileges. That cannot be undone. Returns
   * an errno. */
  noNewPrivileges(): number;
  /** Sets no_new_privs for every thread, by a seccomp filter that allows everything. This thread must have it already.
   * Returns an errno; EINVAL: the kernel has no filters. */
  shareNoNewPrivileges(): number;
  /** The process makes no core dump, and other processes of the same user cannot read its memory. Returns an errno. */
  undumpable(): number;
  /** execve(2): this thread runs the program, and all others end. The descriptors `inherited` stay open. Returns an
   * errno, and only if it fails. */
  execute(
    path: string,
    argv: readonly string[],
    environment: readonly string[],
    inherited: readonly number[],
  ): number;

  /** The compiler's numbers: `sizeof v4l2_buffer`, `offsetof v4l2_buffer.m`, `nr VIDIOC_QBUF`, `size VIDIOC_QBUF`,
   * `dir VIDIOC_QBUF` (1 W, 2 R, 3 WR). */
  layout(): Record<string, number>;
}

/**
 * The places of the addon: where `npm run build:addon` puts it, then the prebuilt one of the npm package. The first one
 * that exists is loaded. So an addon that was built on this machine stands in for a prebuilt one that does not load.
 */
const places = [
  inPackage('build/Release/virtio_media_bridge.node'),
  inPackage(`prebuilds/linux-${process.arch}/virtio_media_bridge.node`),
];

/** VMB_ADDON names another build of the addon, for example that of the lab, which has an older C library. */
export const addonPath: string =
  process.env.VMB_ADDON ?? places.find((path) => existsSync(path)) ?? places[0]!;

export const native: Native = createRequire(import.meta.url)(addonPath) as Native;
