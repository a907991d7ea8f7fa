/** Which VMM is the front-end? Told by the protocol features that it takes; none says its name. */
import { type Features, Protocol } from './protocol.js';

export type VmmName = 'qemu' | 'crosvm' | 'libkrun' | 'cloud-hypervisor' | 'unknown';
export type VmmOption = 'auto' | Exclude<VmmName, 'unknown'>;
export const vmmNames: readonly VmmOption[] = ['auto', 'qemu', 'crosvm', 'libkrun', 'cloud-hypervisor'];

export interface VmmTraits {
  readonly name: VmmName;
  /** Whether what is mapped in the SHM region stays when the guest resets the device. QEMU drops it without a word. */
  readonly survivesReset: boolean;
  /** Whether one mapping for everything suits it better than one a buffer. QEMU: every mapping is a memory slot. */
  readonly prefers: 'arena' | 'direct';
  /** Most mappings that it takes. */
  readonly mappings: number;
  /** SHMEM_UNMAP leaves a hole that ends the VM when the guest touches it: zeros are mapped there instead. */
  readonly mapsZerosOnUnmap: boolean;
  /** Whether our requests are answered. Without REPLY_ACK nobody answers. */
  readonly acks: boolean;
  /** What becomes of its VM when the bridge ends, while the device runs and while it does not. */
  readonly onBackendExit: ExitConsequence;
}

interface ExitConsequence {
  readonly running: string;
  readonly stopped: string;
}

interface Row {
  readonly name: VmmName;
  /** Bits that it takes, and bits that it does not. */
  readonly takes: Features;
  readonly leaves: Features;
  readonly survivesReset: boolean;
  readonly prefers: 'arena' | 'direct';
  readonly mappings: number;
  readonly mapsZerosOnUnmap: boolean;
}

/** Half of QEMU's 512 memory regions: RAM and other devices have theirs. */
export const MAX_QEMU_MAPPINGS = 256;

const always = (sentence: string): ExitConsequence => ({ running: sentence, stopped: sentence });

/** Of QEMU, seen in 11.1.3; of the others, read in their source (docs/vmm.md). */
const exitConsequences: Readonly<Record<VmmName, ExitConsequence>> = {
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
  { name: 'qemu',             takes: BACKEND_SEND_FD,   leaves: 0n,                          survivesReset: false, prefers: 'arena',  mappings: MAX_QEMU_MAPPINGS, mapsZerosOnUnmap: false },
  { name: 'crosvm',           takes: SHMEM | REPLY_ACK, leaves: BACKEND_SEND_FD,             survivesReset: true,  prefers: 'direct', mappings: Infinity,          mapsZerosOnUnmap: false },
  { name: 'libkrun',          takes: SHMEM,             leaves: BACKEND_SEND_FD | REPLY_ACK, survivesReset: true,  prefers: 'direct', mappings: Infinity,          mapsZerosOnUnmap: true  },
  { name: 'cloud-hypervisor', takes: REPLY_ACK,         leaves: BACKEND_SEND_FD | SHMEM,     survivesReset: false, prefers: 'arena',  mappings: Infinity,          mapsZerosOnUnmap: false },
  { name: 'unknown',          takes: 0n,                leaves: 0n,                          survivesReset: false, prefers: 'arena',  mappings: Infinity,          mapsZerosOnUnmap: false },
];

/** `protocol`: the bits of SET_PROTOCOL_FEATURES. `option`: what the operator says, or `auto`. */
export function vmmTraitsOf(protocol: Features, option: VmmOption = 'auto'): VmmTraits {
  const fits = (row: Row) =>
    option === 'auto'
      ? (protocol & row.takes) === row.takes && (protocol & row.leaves) === 0n
      : row.name === option;
  const { name, survivesReset, prefers, mappings, mapsZerosOnUnmap } = rows.find(fits)!;
  const acks = (protocol & REPLY_ACK) !== 0n;
  return {
    name,
    survivesReset,
    prefers,
    mappings,
    mapsZerosOnUnmap,
    acks,
    onBackendExit: exitConsequences[name],
  };
}
