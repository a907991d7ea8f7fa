/** SUBSCRIBE_EVENT and UNSUBSCRIBE_EVENT. */
import { Errno } from '../../errno.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { EventType, eventSubscription, SubscriptionFlag } from '../../v4l2/layout.js';
import type { Answer } from '../commands/command.js';
import { drainEvents } from '../events/drain.js';
import { stale } from '../events/eventq.js';
import { MAX_SUBSCRIPTIONS } from '../policy.js';
import type { Session } from '../session.js';
import { isReachable } from './hidden-controls.js';
import type { IoctlRequest } from './ioctl-request.js';

/**
 * VIDIOC_SUBSCRIBE_EVENT and VIDIOC_UNSUBSCRIBE_EVENT.
 *
 * Payload: struct v4l2_event_subscription (32 bytes), which the kernel gets unchanged. The answer has none.
 *
 * Errnos of its own, both for SUBSCRIBE_EVENT: EINVAL for events of a control that the policy hides, ENOMEM for more
 * than MAX_SUBSCRIPTIONS. All others come from the driver.
 *
 * v4l2_event_subscribe queues the initial event (V4L2_EVENT_SUB_FL_SEND_INITIAL) inside the ioctl. It is sent to the
 * guest before the answer. After UNSUBSCRIBE_EVENT no event of that subscription follows the answer.
 */
export async function subscriptionIoctl(session: Session, request: IoctlRequest): Promise<Answer> {
  return request.row.nr === Ioctl.SUBSCRIBE_EVENT
    ? subscribe(session, request)
    : unsubscribe(session, request);
}

async function subscribe(session: Session, { payload }: IoctlRequest): Promise<Answer> {
  const { type, id, flags } = eventSubscription.read(payload);
  if (type === EventType.CTRL && !isReachable(session.context.policy, id)) return { status: Errno.EINVAL };
  const key = `${type}:${id}`;
  const isNew = !session.subscriptions.has(key);
  if (isNew && session.subscriptions.size >= MAX_SUBSCRIPTIONS) return { status: Errno.ENOMEM };
  const status = await session.ioctl(Ioctl.SUBSCRIBE_EVENT, payload);
  if (status !== 0) return { status };
  session.subscriptions.add(key);
  // The kernel has queued the initial event already. It must be in the eventq before the answer is in the commandq.
  if (flags & SubscriptionFlag.SEND_INITIAL) await drainEvents(session);
  return { status };
}

async function unsubscribe(session: Session, { payload, command }: IoctlRequest): Promise<Answer> {
  const { type, id } = eventSubscription.read(payload);
  const status = await session.ioctl(Ioctl.UNSUBSCRIBE_EVENT, payload);
  if (status !== 0) return { status };
  if (type === EventType.ALL) session.subscriptions.clear();
  else session.subscriptions.delete(`${type}:${id}`);
  await session.quiet(command.remaining, stale.eventsOf(type, id));
  return { status };
}
