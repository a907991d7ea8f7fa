/** How many buffers a queue may get: as many as the policy allows, and as have room in SHM region 0. */
import { format } from '../../v4l2/layout.js';
import type { SharedMemorySlot } from '../memory/shared-memory.js';
import type { Session } from '../session.js';
import { type Backing, backings } from './backings.js';
import { type BufferQueue, bytesOf } from './buffer-queue.js';
import { bufferBytes, planeBytes } from './buffer-size.js';

/**
 * The part of SHM region 0 in which planes of this backing get slots; null: in none. With objects, the guest need not
 * map what the driver exports, so a direct plane gets its slot when the guest maps it.
 */
export function partOf({ context }: Session, backing: Backing): SharedMemorySlot['backing'] | null {
  const { slot } = backings[backing];
  return slot === 'direct' && context.objects ? null : slot;
}

/**
 * How many of `count` buffers of the format `wanted` a session may get if the queues `kept` stay, and its other queue of
 * this type goes. Claims their bytes and their room before the kernel allocates, so no other session gets the same.
 */
export function grantable(
  session: Session,
  backing: Backing,
  kept: readonly BufferQueue[],
  wanted: Uint8Array,
  count: number,
): number {
  const { type } = format.read(wanted);
  const { policy, shared } = session.context;
  const own = session.queues.get(type);
  const stays = own !== undefined && kept.includes(own);
  const each = Math.max(1, bufferBytes(wanted));
  const bytes = bytesOf(kept);
  const left = policy.maxBuffers - (stays ? own.count : 0);
  const allowed = Math.max(0, Math.min(count, left, Math.floor((session.allowance - bytes) / each)));
  const part = partOf(session, backing);
  const given = stays ? [] : slotsOf(own);
  const granted = part ? shared.room(session, part, planeBytes(wanted), allowed, given) : allowed;
  session.claim(bytes + granted * each);
  return granted;
}

/** The allocation is over: claims are buffers now, or nothing. */
export function unclaim(session: Session): void {
  session.claim(0);
  session.context.shared.promised.withdraw(session);
}

function slotsOf(queue: BufferQueue | undefined): SharedMemorySlot[] {
  const planes = [...(queue?.buffers.values() ?? [])].flatMap((vb) => vb.planes);
  return planes.flatMap(({ slot }) => slot ?? []);
}
