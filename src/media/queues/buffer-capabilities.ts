/**
 * The buffer capabilities (V4L2_BUF_CAP_*) that REQBUFS and CREATE_BUFS tell the guest. Each bit is true of the backing
 * that the guest gets, whatever the host's driver can do on other memory.
 */
import { BufferCapability, Memory } from '../../v4l2/layout.js';
import type { Session } from '../session.js';
import { usableBackings } from './backing-choice.js';
import { type Backing, backings } from './backings.js';

/** What a queue of the guest is offered. It decides about the bits, together with those of the host's driver. */
export interface Offer {
  /** The backing that MMAP buffers of the queue have or would get. Bits about MMAP are true of it. */
  readonly mmap: Backing;
  /** SHARED_PAGES are on. */
  readonly sharedPages: boolean;
  /** Objects are on. */
  readonly objects: boolean;
  /** The guest has request handles. */
  readonly handles: boolean;
}

/** `has`: whether the host's driver has a capability. */
type Rule = (has: (bit: number) => boolean, offer: Offer) => boolean;

const bits = BufferCapability;

/**
 * When the guest has a capability.
 * - MMAP: the driver has the memory type behind the backing.
 * - USERPTR: the bridge copies if the driver does not take the guest's pages.
 * - ORPHANED_BUFS: the bridge keeps a slot that the guest has mapped. The driver keeps its own buffers only if it can.
 * - REMOVE_BUFS: the Linux driver would show the bit to programs, but has no such ioctl.
 *
 * The guest has no bit without a row, because nobody knows what it promises.
 */
// biome-ignore format: a table
const rules: Readonly<Record<keyof typeof BufferCapability, Rule>> = {
  MMAP:                 (has, { mmap }) => has(bits.MMAP) || (mmap === 'userptr' && has(bits.USERPTR)),
  USERPTR:              (_, { sharedPages }) => sharedPages,
  DMABUF:               (has, { objects }) => objects && has(bits.DMABUF),
  REQUESTS:             (has, { handles }) => handles && has(bits.REQUESTS),
  ORPHANED_BUFS:        (has, { mmap }) => has(bits.ORPHANED_BUFS) || mmap === 'userptr',
  M2M_HOLD_CAPTURE_BUF: (has) => has(bits.M2M_HOLD_CAPTURE_BUF),
  MMAP_CACHE_HINTS:     (has, { mmap }) => has(bits.MMAP_CACHE_HINTS) && backings[mmap].hints,
  MAX_NUM_BUFFERS:      (has) => has(bits.MAX_NUM_BUFFERS),
  REMOVE_BUFS:          () => false,
};

/**
 * The bits that the guest has if the host's driver reports `host`. 0: the driver reports none (v4l2loopback), so the
 * bridge reports none.
 */
export function guestCapabilities(host: number, offer: Offer): number {
  if (host === 0) return 0;
  const has = (bit: number): boolean => (host & bit) !== 0;
  const names = Object.keys(rules) as (keyof typeof rules)[];
  return names.reduce((sum, name) => (rules[name](has, offer) ? sum | bits[name] : sum), 0);
}

/** What a queue is offered. `type`: V4L2_BUF_TYPE_*. As natively, the bits are the same for all memory types. */
export function offerOf(session: Session, type: number): Offer {
  const { sharedPages, objects, requests } = session.context;
  const queue = session.queues.get(type);
  const [first = 'unmapped'] = usableBackings(session, type, Memory.MMAP);
  const mmap = queue?.memory === Memory.MMAP ? queue.backing : first;
  return { mmap, sharedPages, objects: objects !== null, handles: requests?.mode === 'handles' };
}
