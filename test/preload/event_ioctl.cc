// SUBSCRIBE_EVENT, UNSUBSCRIBE_EVENT and DQEVENT.
#include <cerrno>

#include "ioctl_table.h"
#include "waiter.h"

namespace preload {

int subscribe_event(Call& call) {
  const auto subscription = call.as<v4l2_event_subscription>();
  if (subscription.type == V4L2_EVENT_ALL) return -EINVAL;
  Session& session = call.session;
  bool added;
  {
    std::lock_guard lock(session.mutex);
    added = session.events.subscribe(subscription);
  }
  const int result = forward(call);
  // The initial event is in the eventq by now. Take it before the ioctl returns.
  if (result == 0) session.device().driver().process_events();
  if (result == 0 || !added) return result;
  std::lock_guard lock(session.mutex);
  session.events.unsubscribe(subscription);
  return result;
}

int unsubscribe_event(Call& call) {
  const auto subscription = call.as<v4l2_event_subscription>();
  const int result = forward(call);
  if (result != 0) return result;
  std::lock_guard lock(call.session.mutex);
  call.session.events.unsubscribe(subscription);
  return 0;
}

int dequeue_event(Call& call) {
  const Waiter waiter;
  for (;;) {
    {
      std::lock_guard lock(call.session.mutex);
      if (call.session.events.pending()) {
        call.as<v4l2_event>() = call.session.events.pop();
        return 0;
      }
    }
    if (call.non_blocking) return -ENOENT;
    if (!waiter.wait()) return -EINTR;
  }
}

}  // namespace preload
