/** What a daemon is to serve, and how. */
import type { MmapMode } from '../media/memory/shared-memory.js';
import type { MuteWith } from '../media/mute/mute.js';
import type { Policy } from '../media/policy.js';
import type { SocketSource } from '../sockets.js';
import type { SocketFile } from '../vhost-user/listener.js';
import type { VmmOption } from '../vhost-user/vmm-traits.js';
import type { RequestMode } from './node-start.js';

export interface ServePair {
  /** The path of the node, or an inherited descriptor of it. */
  readonly device: string | number;
  readonly socket: SocketSource;
  /** The name that the guest sees, at most MAX_CARD_BYTES of UTF-8. Absent: that of the driver. */
  readonly card?: string;
  /** The name of the VM that the pair belongs to. Pairs without one belong to one VM. */
  readonly vm?: string;
  /** What differs for this pair from the options of all. */
  readonly own?: Partial<PairOptions>;
}

/** How a pair is served. */
export interface PairOptions {
  /** Bytes of SHM region 0: a power of two of at least 64 KiB. 0: there is no region. */
  readonly sharedMemorySize: number;
  readonly mmap: MmapMode;
  /** What the guest of each node may do. Absent: everything that virtio-media has. */
  readonly policy?: Policy;
  readonly frontend: VmmOption;
  readonly memSlots: boolean;
  /** Buffers are objects that other devices of the VM may use: EXPBUF and the OBJECT memory type. */
  readonly objects: boolean;
  /** The guest may use its own pages as buffers. */
  readonly sharedPages: boolean;
  /** The guest also gets an error event when the device is lost. */
  readonly errorEvents: boolean;
  /**
   * Who makes the media requests that a stateless codec needs. auto: the bridge makes implicit requests; handles: the
   * guest, with request handles; off: nobody.
   */
  readonly requests: RequestMode;
  /** A node that waits for a producer is served when it has one. Absent: at once. */
  readonly wait?: boolean;
  /** Nothing but a guest's OPEN opens the node once it is served. Absent: a look at what it is may, too. */
  readonly onDemand?: boolean;
  /** The device starts muted: what its guest gets. Absent: it is not muted. */
  readonly muted?: MuteWith;
  /** Mode and owner of the sockets that are made at a path. Absent: 0600 and this process's user. */
  readonly socketFile?: SocketFile;
  /** The ids of the users whose processes may connect to a listening socket. Absent: every process that can. */
  readonly allowUids?: readonly number[];
}

export interface ServeOptions extends PairOptions {
  readonly pairs: readonly ServePair[];
  /** The program, and its arguments, that is asked at each OPEN. Absent: every OPEN is approved. */
  readonly approve?: readonly string[];
  /** Called when the connection of an inherited connected socket has ended. */
  readonly onEnd?: () => void;
  /** Called when a VMM has come or gone. */
  readonly onVmm?: () => void;
}
