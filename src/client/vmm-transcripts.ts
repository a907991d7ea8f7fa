/**
 * VMM transcripts: the features that each of the four VMMs acknowledges, the order of its requests, and how it treats
 * SHMEM_MAP. Observed in QEMU 11.1.3; read in the source of crosvm, libkrun and cloud-hypervisor of August 2026.
 */
import { FrontEndRequest, Protocol, Virtio } from '../vhost-user/protocol.js';

/** Steps after the connect, before the guest runs. A step is skipped if the feature that it needs is not negotiated. */
export type RealizeStep =
  | 'features'
  | 'protocol features'
  | 'queue number'
  | 'memory slots'
  | 'back-end channel'
  | 'owner'
  | 'call and error'
  | 'shared memory';
/** Steps when the device starts. `rings`: all ring steps for the first queue, then for the next one. */
export type StartStep =
  | 'owner'
  | 'back-end channel'
  | 'features'
  | 'memory'
  | 'sizes'
  | 'rings'
  | 'enable'
  | 'call again';
export type RingStep = 'num' | 'base' | 'address' | 'kick' | 'call' | 'enable';
export type StopStep = 'disable' | 'get base' | 'drop back-end channel';

export interface VmmTranscript {
  readonly virtioFeatures: bigint;
  readonly protocolFeatures: bigint;
  readonly realize: readonly RealizeStep[];
  readonly start: readonly StartStep[];
  readonly ring: readonly RingStep[];
  readonly stop: readonly StopStep[];
  readonly pause: readonly StopStep[];
  /** Requests that carry NEED_REPLY if REPLY_ACK is negotiated; `all`: every request that has no reply of its own. */
  readonly needReply: 'all' | ReadonlySet<number>;
  /** Index in SET_VRING_BASE: the one that the back-end returned, always 0, or the driver's available index. */
  readonly base: 'returned' | 'zero' | 'available';
  /** Kicks that the VMM writes to the eventfd before it sends the eventfd to the back-end. */
  readonly initialKicks: number;
  /** With CONFIGURE_MEM_SLOTS the VMM adds and removes single slots at a start, and only those that have changed. */
  readonly slotwise: boolean;
  /** The VMM repeats SET_FEATURES at a start even if the features have not changed. */
  readonly repeatsFeatures: boolean;
  /** SHM region 0 and the requests of the back-end. */
  readonly backendRequests: {
    /** The VMM acknowledges a request of the back-end if it carries NEED_REPLY. */
    readonly acknowledges: boolean;
    /** A mapping that overlaps another one: the VMM refuses it, or lets it cover the old one. */
    readonly overlap: 'refuse' | 'replace';
    /** Mappings stay when the guest resets the device. */
    readonly survivesReset: boolean;
    /** After the acknowledgement the VMM announces the mapping to the back-end as a memory region. */
    readonly echo: boolean;
    /** The VMM does not serve the back-end while it waits for an answer of the back-end (QEMU's big lock). */
    readonly bigLock: boolean;
    /** The request of the back-end that ends the VM: none, any one while the device is stopped, or a refused one. */
    readonly fatal: 'nothing' | 'message while stopped' | 'refused request';
  };
}

export type VmmName = 'qemu' | 'crosvm' | 'libkrun' | 'cloud-hypervisor';

/** QEMU also acknowledges CONFIGURE_MEM_SLOTS if the back-end offers it. VmmOptions.protocolFeatures can add it. */
const qemu: VmmTranscript = {
  virtioFeatures: Virtio.VERSION_1 | Virtio.RING_INDIRECT_DESC | Virtio.RING_EVENT_IDX,
  protocolFeatures:
    Protocol.MQ |
    Protocol.REPLY_ACK |
    Protocol.BACKEND_REQ |
    Protocol.CONFIG |
    Protocol.BACKEND_SEND_FD |
    Protocol.SHMEM,
  realize: [
    'features',
    'protocol features',
    'queue number',
    'memory slots',
    'back-end channel',
    'owner',
    'features',
    'call and error',
    'shared memory',
  ],
  start: ['features', 'memory', 'rings', 'enable', 'call again'],
  ring: ['num', 'base', 'address', 'kick', 'call'],
  stop: ['disable', 'get base'],
  pause: ['disable', 'get base'],
  needReply: new Set<number>([
    FrontEndRequest.SET_BACKEND_REQ_FD,
    FrontEndRequest.SET_VRING_CALL,
    FrontEndRequest.SET_VRING_ERR,
    FrontEndRequest.SET_VRING_KICK,
    FrontEndRequest.SET_VRING_ENABLE,
    FrontEndRequest.SET_MEM_TABLE,
    FrontEndRequest.ADD_MEM_REG,
    FrontEndRequest.REM_MEM_REG,
    FrontEndRequest.SET_CONFIG,
  ]),
  base: 'returned',
  initialKicks: 2,
  slotwise: true,
  repeatsFeatures: true,
  backendRequests: {
    acknowledges: true,
    overlap: 'refuse',
    survivesReset: false,
    echo: true,
    bigLock: true,
    fatal: 'message while stopped',
  },
};

const crosvm: VmmTranscript = {
  virtioFeatures: Virtio.VERSION_1 | Virtio.RING_EVENT_IDX,
  protocolFeatures:
    Protocol.CONFIG | Protocol.MQ | Protocol.BACKEND_REQ | Protocol.SHMEM | Protocol.REPLY_ACK,
  realize: ['owner', 'features', 'protocol features', 'back-end channel', 'queue number', 'shared memory'],
  start: ['features', 'memory', 'rings'],
  ring: ['num', 'address', 'base', 'call', 'kick', 'enable'],
  stop: ['disable', 'get base'],
  pause: ['disable', 'get base'],
  needReply: new Set<number>(),
  base: 'returned',
  initialKicks: 1,
  slotwise: false,
  repeatsFeatures: false,
  backendRequests: {
    acknowledges: true,
    overlap: 'refuse',
    survivesReset: true,
    echo: false,
    bigLock: false,
    fatal: 'refused request',
  },
};

const libkrun: VmmTranscript = {
  virtioFeatures: qemu.virtioFeatures,
  protocolFeatures: Protocol.CONFIG | Protocol.MQ | Protocol.BACKEND_REQ | Protocol.SHMEM,
  realize: ['features', 'protocol features', 'queue number'],
  start: ['owner', 'back-end channel', 'memory', 'features', 'rings'],
  ring: ['num', 'base', 'address', 'kick', 'call', 'enable'],
  stop: ['disable', 'drop back-end channel'],
  pause: [],
  needReply: new Set<number>(),
  base: 'zero',
  initialKicks: 0,
  slotwise: false,
  repeatsFeatures: true,
  backendRequests: {
    acknowledges: false,
    overlap: 'replace',
    survivesReset: true,
    echo: false,
    bigLock: false,
    fatal: 'nothing',
  },
};

const cloudHypervisor: VmmTranscript = {
  virtioFeatures: qemu.virtioFeatures,
  protocolFeatures:
    Protocol.CONFIG | Protocol.MQ | Protocol.CONFIGURE_MEM_SLOTS | Protocol.REPLY_ACK | Protocol.BACKEND_REQ,
  realize: ['owner', 'features', 'protocol features', 'queue number'],
  start: ['features', 'memory', 'sizes', 'rings', 'enable', 'back-end channel'],
  ring: ['address', 'base', 'call', 'kick'],
  stop: ['disable', 'get base'],
  pause: ['disable'],
  needReply: 'all',
  base: 'available',
  initialKicks: 0,
  slotwise: false,
  repeatsFeatures: true,
  backendRequests: {
    acknowledges: true,
    overlap: 'refuse',
    survivesReset: true,
    echo: false,
    bigLock: false,
    fatal: 'nothing',
  },
};

export const vmmTranscripts: Readonly<Record<VmmName, VmmTranscript>> = {
  qemu,
  crosvm,
  libkrun,
  'cloud-hypervisor': cloudHypervisor,
};
