/** Which VMM is the front-end? Told by the protocol features that it takes; none says its name. */
import { type Features, Protocol } from './protocol.js';

export type DialectName = 'qemu' | 'crosvm' | 'libkrun' | 'cloud-hypervisor' | 'unknown';
export type DialectOption = 'auto' | Exclude<DialectName, 'unknown'>;
export const dialectOptions: readonly DialectOption[] = [
  'auto',
  'qemu',
  'crosvm',
  'libkrun',
  'cloud-hypervisor',
];

export interface Dialect {
  readonly name: DialectName;
  /** Whether what is mapped in the SHM region stays when the guest resets the device. QEMU drops it without a word. */
  readonly survivesReset: boolean;
  /** Whether one mapping for everything suits it better than one a buffer. QEMU: every mapping is a memory slot. */
  readonly prefers: 'arena' | 'direct';
  /** Most mappings that it takes. */
  readonly mappings: number;
  /** SHMEM_UNMAP leaves a hole that ends the VM when the guest touches it: zeros are mapped there instead. */
  readonly parks: boolean;
  /** Whether our requests are answered. Without REPLY_ACK nobody answers. */
  readonly acks: boolean;
  /** What becomes of its VM when the bridge ends, while the device runs and while it does not. */
  readonly bereaved: Bereaved;
}

interface Bereaved {
  readonly running: string;
  readonly stopped: string;
}

interface Row {
  readonly name: DialectName;
  /** Bits that it takes, and bits that it does not. */
  readonly takes: Features;
  readonly leaves: Features;
  readonly survivesReset: boolean;
  readonly prefers: 'arena' | 'direct';
  readonly mappings: number;
  readonly parks: boolean;
}

/** Half of QEMU's 512 memory regions: RAM and other devices have theirs. */
export const MAX_QEMU_MAPPINGS = 256;

const always = (sentence: string): Bereaved => ({ running: sentence, stopped: sentence });

/** Of QEMU, seen in 11.1.3; of the others, read in their source (docs/vmm.md). */
const bereaved: Readonly<Record<DialectName, Bereaved>> = {
  qemu: {
    running:
      'QEMU loses this device, and aborts when its guest reads the configuration or restarts the driver, or the VM is paused and goes on',
    stopped: 'QEMU aborts at once, because the device is not running',
  },
  crosvm: always('crosvm ends the VM'),
  libkrun: always('the guest loses this device'),
  'cloud-hypervisor': always('cloud-hypervisor tries to connect again for 60 s, the sessions are lost'),
  unknown: always('the guest loses this device'),
};

const { SHMEM, REPLY_ACK, BACKEND_SEND_FD } = Protocol;

/** The first row that fits. Without SHMEM the properties mean nothing. */
// biome-ignore format: a table
const rows: readonly Row[] = [
  { name: 'qemu',             takes: BACKEND_SEND_FD,   leaves: 0n,                          survivesReset: false, prefers: 'arena',  mappings: MAX_QEMU_MAPPINGS, parks: false },
  { name: 'crosvm',           takes: SHMEM | REPLY_ACK, leaves: BACKEND_SEND_FD,             survivesReset: true,  prefers: 'direct', mappings: Infinity,          parks: false },
  { name: 'libkrun',          takes: SHMEM,             leaves: BACKEND_SEND_FD | REPLY_ACK, survivesReset: true,  prefers: 'direct', mappings: Infinity,          parks: true  },
  { name: 'cloud-hypervisor', takes: REPLY_ACK,         leaves: BACKEND_SEND_FD | SHMEM,     survivesReset: false, prefers: 'arena',  mappings: Infinity,          parks: false },
  { name: 'unknown',          takes: 0n,                leaves: 0n,                          survivesReset: false, prefers: 'arena',  mappings: Infinity,          parks: false },
];

/** `protocol`: the bits of SET_PROTOCOL_FEATURES. `option`: what the operator says, or `auto`. */
export function dialectOf(protocol: Features, option: DialectOption = 'auto'): Dialect {
  const fits = (row: Row) =>
    option === 'auto'
      ? (protocol & row.takes) === row.takes && (protocol & row.leaves) === 0n
      : row.name === option;
  const { name, survivesReset, prefers, mappings, parks } = rows.find(fits)!;
  const acks = (protocol & REPLY_ACK) !== 0n;
  return { name, survivesReset, prefers, mappings, parks, acks, bereaved: bereaved[name] };
}
