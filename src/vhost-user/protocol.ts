/** Numbers and records of vhost-user, native (little) endian. */
import { bytes, type Field, struct, u8, u32, u64 } from '../struct.js';

/** Every message starts with this. */
export const header = struct({ request: u32, flags: u32, size: u32 });

export const VERSION = 1;
export const HeaderFlags = { VERSION_MASK: 0x3, REPLY: 0x4, NEED_REPLY: 0x8, ALL: 0xf } as const;

/** The most bytes after the header. The largest message that anybody sends is 2056 bytes. */
export const MAX_BODY = 4096;
/** The most descriptors of one message. crosvm sends up to 32 memory regions. */
export const MAX_DESCRIPTORS = 32;

/** A set of feature bits. */
export type Features = bigint;
/** The set with one bit. */
export const bit = (number: number): Features => 1n << BigInt(number);

/** A 64-bit set as a bigint: every bit is exact. `u64` is a double and loses the low bits of large values. */
export const features: Field<Features> = {
  size: 8,
  get: (view, at) => view.getBigUint64(at, true),
  set: (view, at, value) => view.setBigUint64(at, value, true),
};

/** Virtio feature bits that belong to the transport, not to one type of device. */
export const Virtio = {
  RING_INDIRECT_DESC: bit(28),
  RING_EVENT_IDX: bit(29),
  /** VHOST_USER_F_PROTOCOL_FEATURES. The guest never sees it. */
  PROTOCOL_FEATURES: bit(30),
  VERSION_1: bit(32),
} as const;

/** Protocol feature bits. Older crosvm used 20 and 21 for SHMEM; to QEMU they mean something else. */
export const Protocol = {
  MQ: bit(0),
  REPLY_ACK: bit(3),
  BACKEND_REQ: bit(5),
  CONFIG: bit(9),
  BACKEND_SEND_FD: bit(10),
  CONFIGURE_MEM_SLOTS: bit(15),
  SHARED_OBJECT: bit(18),
  SHMEM: bit(22),
} as const;

/** Requests that the back-end sends on the back-end channel (SET_BACKEND_REQ_FD). */
export const BackendRequest = {
  CONFIG_CHANGE: 2,
  SHARED_OBJECT_ADD: 6,
  SHARED_OBJECT_REMOVE: 7,
  SHMEM_MAP: 9,
  SHMEM_UNMAP: 10,
} as const;

/** Body of SET_VRING_NUM, SET_VRING_BASE, GET_VRING_BASE and SET_VRING_ENABLE. `num` is the value. */
export const vringState = struct({ index: u32, num: u32 });

/** The used ring comes before the available ring. All are front-end addresses, but `log` is a guest address. */
export const vringAddress = struct({
  index: u32,
  flags: u32,
  descriptors: u64,
  used: u64,
  available: u64,
  log: u64,
});

/** Body of SET_VRING_KICK, SET_VRING_CALL and SET_VRING_ERR. Bits 0 to 7: index of the queue. */
export const VringFd = { INDEX_MASK: 0xff, NO_FD: 0x100 } as const;

/** A region of guest memory. All fields are in bytes; `userAddress` is a front-end address. */
export const memoryRegion = struct({ guestAddress: u64, size: u64, userAddress: u64, fileOffset: u64 });
/** Body of SET_MEM_TABLE. `count` records `memoryRegion` follow. */
export const memoryTableHeader = struct({ count: u32, pad4: u32 });
/** Body of ADD_MEM_REG and REM_MEM_REG. */
export const singleMemoryRegion = struct({ pad0: u64, region: memoryRegion });

/** Body of GET_CONFIG and SET_CONFIG. `size` bytes of the configuration space follow. */
export const configHeader = struct({ offset: u32, size: u32, flags: u32 });
/** VHOST_USER_MAX_CONFIG_SIZE, in bytes. */
export const MAX_CONFIG = 256;

/** SHARED_OBJECT_ADD, SHARED_OBJECT_REMOVE and GET_SHARED_OBJECT. */
export const sharedObject = struct({ uuid: bytes(16) });

/** SHMEM_MAP and SHMEM_UNMAP. */
export const sharedMemoryMap = struct({
  id: u8,
  pad1: bytes(7),
  fileOffset: u64,
  offset: u64,
  length: u64,
  flags: u64,
});
export const SharedMemoryFlags = { READ_WRITE: 1 } as const;

export const SHARED_MEMORY_REGIONS = 256;
/**
 * Answer of GET_SHMEM_CONFIG. It is always sent whole, whatever `count` is. `sizes`: one 64-bit size in bytes per id.
 */
export const sharedMemoryConfig = struct({ count: u32, pad4: u32, sizes: bytes(8 * SHARED_MEMORY_REGIONS) });

/** Requests of the front-end, by number (vhost-user, "Front-end message types"). */
export const FrontEndRequest = {
  GET_FEATURES: 1,
  SET_FEATURES: 2,
  SET_OWNER: 3,
  RESET_OWNER: 4,
  SET_MEM_TABLE: 5,
  SET_VRING_NUM: 8,
  SET_VRING_ADDR: 9,
  SET_VRING_BASE: 10,
  GET_VRING_BASE: 11,
  SET_VRING_KICK: 12,
  SET_VRING_CALL: 13,
  SET_VRING_ERR: 14,
  GET_PROTOCOL_FEATURES: 15,
  SET_PROTOCOL_FEATURES: 16,
  GET_QUEUE_NUM: 17,
  SET_VRING_ENABLE: 18,
  SET_BACKEND_REQ_FD: 21,
  GET_CONFIG: 24,
  SET_CONFIG: 25,
  RESET_DEVICE: 34,
  GET_MAX_MEM_SLOTS: 36,
  ADD_MEM_REG: 37,
  REM_MEM_REG: 38,
  SET_STATUS: 39,
  GET_STATUS: 40,
  GET_SHARED_OBJECT: 41,
  GET_SHMEM_CONFIG: 44,
} as const;
