#include "event_queue.h"

#include <algorithm>
#include <ctime>

namespace preload {
namespace {

// Drivers use a depth of two for events that must each be seen; for the others the newest event is enough.
unsigned depth_of(uint32_t type) { return type == V4L2_EVENT_EOS || type == V4L2_EVENT_MOTION_DET ? 2 : 1; }

// Copies the changes of the older event, which is dropped, to the newer one.
void merge(const v4l2_event& older, v4l2_event& newer) {
  if (newer.type == V4L2_EVENT_CTRL) newer.u.ctrl.changes |= older.u.ctrl.changes;
  if (newer.type == V4L2_EVENT_SOURCE_CHANGE) newer.u.src_change.changes |= older.u.src_change.changes;
}

}  // namespace

bool EventQueue::subscribe(const v4l2_event_subscription& subscription) {
  if (is_subscribed(subscription.type, subscription.id, nullptr)) return false;
  subscriptions_.push_back({subscription.type, subscription.id, depth_of(subscription.type)});
  return true;
}

void EventQueue::unsubscribe(const v4l2_event_subscription& subscription) {
  const auto goes = [&](uint32_t type, uint32_t id) {
    return subscription.type == V4L2_EVENT_ALL || (type == subscription.type && id == subscription.id);
  };
  std::erase_if(subscriptions_, [&](const Subscription& each) { return goes(each.type, each.id); });
  std::erase_if(events_, [&](const v4l2_event& each) { return goes(each.type, each.id); });
}

void EventQueue::push(const v4l2_event& event) {
  unsigned depth;
  if (!is_subscribed(event.type, event.id, &depth)) return;
  v4l2_event kept = {};
  kept.type = event.type;
  kept.u = event.u;
  kept.id = event.id;
  kept.sequence = ++sequence_;
  clock_gettime(CLOCK_MONOTONIC, &kept.timestamp);
  const auto same = [&](const v4l2_event& each) { return each.type == event.type && each.id == event.id; };
  if (std::count_if(events_.begin(), events_.end(), same) >= static_cast<long>(depth)) {
    const auto oldest = std::find_if(events_.begin(), events_.end(), same);
    const auto next = std::find_if(oldest + 1, events_.end(), same);
    merge(*oldest, next == events_.end() ? kept : *next);
    events_.erase(oldest);
  }
  events_.push_back(kept);
}

v4l2_event EventQueue::pop() {
  v4l2_event event = events_.front();
  events_.pop_front();
  event.pending = static_cast<uint32_t>(events_.size());
  return event;
}

bool EventQueue::is_subscribed(uint32_t type, uint32_t id, unsigned* depth) const {
  for (const Subscription& each : subscriptions_) {
    if (each.type != type || each.id != id) continue;
    if (depth) *depth = each.depth;
    return true;
  }
  return false;
}

}  // namespace preload
