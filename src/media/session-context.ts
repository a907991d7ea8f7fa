/** What a session shares with other sessions. */
import type { OpenMedia } from '../v4l2/media-request.js';
import type { HostNode } from '../v4l2/node.js';
import type { ToldNode } from '../v4l2/told-node.js';
import type { GuestMemory } from '../virtio/guest-memory.js';
import type { Turn } from '../virtio/turn.js';
import type { Account } from './account.js';
import type { EventQueue } from './events/eventq.js';
import type { LinearMappings } from './memory/guest-pages.js';
import type { DeviceObjects } from './memory/object-table.js';
import type { SgBudget } from './memory/sg-budget.js';
import type { SharedMemory } from './memory/shared-memory.js';
import type { Policy } from './policy.js';

/** What all sessions of one connection share. */
export interface SessionContext {
  readonly node: HostNode;
  /** What the guest was told of the node. */
  told(): ToldNode;
  readonly policy: Policy;
  /** The node's account. It counts files of earlier connections that are not closed yet. */
  readonly account: Account;
  readonly memory: GuestMemory;
  readonly shared: SharedMemory;
  /** Limits the work of one turn of the loop, because a guest decides how much work it asks for. */
  readonly turn: Turn;
  /** Limit of the node for SG lists that are kept with buffers. */
  readonly lists: SgBudget;
  readonly events: EventQueue;
  /** Whether the guest may use its own pages as buffers (SHARED_PAGES). */
  readonly sharedPages: boolean;
  readonly linearMappings: LinearMappings;
  /** Buffers as VIRTIO objects. null: not offered. */
  readonly objects: DeviceObjects | null;
  /** Whether the guest gets an ERROR event when its session is lost. */
  readonly errorEvents: boolean;
  /** Media requests. null: the node does not take them, or they are turned off. */
  readonly requests: RequestSupport | null;
}

/**
 * How a node's media requests are made, and the media device that makes them. `auto`: the bridge makes implicit
 * requests. `handles`: the guest makes them and names them by request handles.
 */
export interface RequestSupport {
  readonly mode: 'auto' | 'handles';
  readonly media: OpenMedia;
}
