/** What a session is given: everything that it shares with others. */
import type { OpenMedia } from '../v4l2/media-request.js';
import type { HostNode } from '../v4l2/node.js';
import type { GuestMemory } from '../virtio/guest-memory.js';
import type { Turn } from '../virtio/turn.js';
import type { Account } from './account.js';
import type { EventQueue } from './events/eventq.js';
import type { LinearMappings } from './memory/guest-pages.js';
import type { DeviceObjects } from './memory/objects.js';
import type { SgBudget } from './memory/sg-budget.js';
import type { SharedMemory } from './memory/shared-memory.js';
import type { Policy } from './policy.js';

/** What all sessions of one connection share. */
export interface SessionContext {
  readonly node: HostNode;
  readonly policy: Policy;
  /** Of the node: files of earlier connections included that are not closed yet. */
  readonly account: Account;
  readonly memory: GuestMemory;
  readonly shared: SharedMemory;
  /** What the turn of the loop has left for work that a guest sizes. */
  readonly turn: Turn;
  /** SG lists that are kept with buffers. */
  readonly lists: SgBudget;
  readonly events: EventQueue;
  /** Whether buffers may be the guest's own pages. */
  readonly sharedPages: boolean;
  readonly linearMappings: LinearMappings;
  /** Buffers as objects; null: not offered. */
  readonly objects: DeviceObjects | null;
  /** Whether a lost session is told by an event of its own. */
  readonly errorEvents: boolean;
  /** Media requests, where the node takes them; null: none. */
  readonly requests: RequestSupport | null;
}

/** Who makes the requests, and the media device that they come from. */
export interface RequestSupport {
  readonly mode: 'auto' | 'handles';
  readonly media: OpenMedia;
}
