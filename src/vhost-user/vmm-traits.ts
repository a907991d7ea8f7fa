/**
 * Which VMM is the front-end? No VMM sends its name, so the bridge recognises it by the protocol features that it
 * accepts.
 */
import { type Features, Protocol } from './protocol.js';

/** The VMMs that the bridge recognises. */
export type VmmName = 'qemu' | 'crosvm' | 'libkrun' | 'cloud-hypervisor' | 'unknown';
export type VmmOption = 'auto' | Exclude<VmmName, 'unknown'>;
export const vmmNames: readonly VmmOption[] = ['auto', 'qemu', 'crosvm', 'libkrun', 'cloud-hypervisor'];

/** Properties of a VMM that the bridge must respect. */
export interface VmmTraits {
  readonly name: VmmName;
  /** Whether mappings in SHM region 0 stay when the guest resets the device. QEMU drops them without a message. */
  readonly survivesReset: boolean;
  /**
   * Whether this VMM works better with one mapping for everything (`arena`) or with one per buffer (`direct`). In
   * QEMU every mapping is a memory slot.
   */
  readonly prefers: 'arena' | 'direct';
  /** The most mappings that the VMM accepts. */
  readonly mappings: number;
  /**
   * After SHMEM_UNMAP a hole stays in the region, and the VM ends when the guest touches it. So the bridge maps zeros
   * there.
   */
  readonly mapsZerosOnUnmap: boolean;
  /** Whether the VMM answers the bridge's requests. Without REPLY_ACK no VMM does. */
  readonly acks: boolean;
  /** What happens to the VM when the bridge ends: while the device runs, and while it does not run. */
  readonly onBackendExit: ExitConsequence;
}

interface ExitConsequence {
  readonly running: string;
  readonly stopped: string;
}

interface Row {
  readonly name: VmmName;
  /** Protocol features that it accepts, and protocol features that it does not accept. */
  readonly takes: Features;
  readonly leaves: Features;
  readonly survivesReset: boolean;
  readonly prefers: 'arena' | 'direct';
  readonly mappings: number;
  readonly mapsZerosOnUnmap: boolean;
}

/** Half of QEMU's 512 memory regions. RAM and other devices need the other half. */
export const MAX_QEMU_MAPPINGS = 256;

const always = (sentence: string): ExitConsequence => ({ running: sentence, stopped: sentence });

/** For QEMU: observed in 11.1.3. For the others: read in their source (docs/vmm.md). */
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

/** The first row that fits is taken. Without SHMEM the columns after `leaves` have no meaning. */
// biome-ignore format: a table
const rows: readonly Row[] = [
  { name: 'qemu',             takes: BACKEND_SEND_FD,   leaves: 0n,                          survivesReset: false, prefers: 'arena',  mappings: MAX_QEMU_MAPPINGS, mapsZerosOnUnmap: false },
  { name: 'crosvm',           takes: SHMEM | REPLY_ACK, leaves: BACKEND_SEND_FD,             survivesReset: true,  prefers: 'direct', mappings: Infinity,          mapsZerosOnUnmap: false },
  { name: 'libkrun',          takes: SHMEM,             leaves: BACKEND_SEND_FD | REPLY_ACK, survivesReset: true,  prefers: 'direct', mappings: Infinity,          mapsZerosOnUnmap: true  },
  { name: 'cloud-hypervisor', takes: REPLY_ACK,         leaves: BACKEND_SEND_FD | SHMEM,     survivesReset: false, prefers: 'arena',  mappings: Infinity,          mapsZerosOnUnmap: false },
  { name: 'unknown',          takes: 0n,                leaves: 0n,                          survivesReset: false, prefers: 'arena',  mappings: Infinity,          mapsZerosOnUnmap: false },
];

/** `protocol`: the bits of SET_PROTOCOL_FEATURES. `option`: the VMM that the operator names, or `auto`. */
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
