/**
 * How the four VMMs speak vhost-user, as lists: what they acknowledge, in which order they ask, what they do with
 * SHMEM_MAP. Seen in QEMU 11.1.3; read in crosvm, libkrun and cloud-hypervisor of August 2026.
 */
import { Protocol, Virtio } from '../vhost-user/protocol.js';
import { FrontEndRequest } from './request-numbers.js';

/** Steps of the first conversation. A step that needs a feature which was not negotiated is left out. */
export type RealizeStep =
  | 'features'
  | 'protocol features'
  | 'queue number'
  | 'memory slots'
  | 'back-end channel'
  | 'owner'
  | 'call and error'
  | 'shared memory';
/** Steps of a start. `rings`: the ring steps for each queue in turn. */
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
  /** Requests that carry NEED_REPLY where REPLY_ACK was negotiated; `all`: each one without a reply of its own. */
  readonly needReply: 'all' | ReadonlySet<number>;
  /** What SET_VRING_BASE says: what the back-end returned, always 0, or the driver's available index. */
  readonly base: 'returned' | 'zero' | 'available';
  /** Kicks that are in the eventfd before the back-end gets it. */
  readonly initialKicks: number;
  /** With CONFIGURE_MEM_SLOTS the memory of a start goes slot by slot, and only what has changed. */
  readonly slotwise: boolean;
  /** SET_FEATURES is repeated at a start where nothing has changed. */
  readonly repeatsFeatures: boolean;
  readonly window: {
    /** SHMEM_MAP and UNMAP are acknowledged when asked for. */
    readonly acknowledges: boolean;
    /** A mapping over another one: refused, or laid over it. */
    readonly overlap: 'refuse' | 'replace';
    /** What a reset of the device does to mappings. */
    readonly survivesReset: boolean;
    /** After the acknowledgement the mapping comes back as a memory region. */
    readonly echo: boolean;
    /** Requests of the back-end wait while an answer of the back-end is outstanding (QEMU's big lock). */
    readonly bigLock: boolean;
    /** What ends the VM: nothing, a message while the device is not started, a request that is refused. */
    readonly fatal: 'nothing' | 'message while stopped' | 'refused request';
  };
}

export type VmmName = 'qemu' | 'crosvm' | 'libkrun' | 'cloud-hypervisor';

/** It acknowledges CONFIGURE_MEM_SLOTS too where that is offered: FrontEndOptions.protocolFeatures can add it. */
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
  window: {
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
  window: {
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
  window: {
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
  window: {
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
