// The V4L2 events of one open file, kept as v4l2-event does: a ring for each subscription, and one order for
// all events.
#pragma once

#include <cstdint>
#include <deque>
#include <linux/videodev2.h>
#include <vector>

namespace preload {

class EventQueue {
 public:
  // True: the subscription is new.
  bool subscribe(const v4l2_event_subscription& subscription);
  void unsubscribe(const v4l2_event_subscription& subscription);
  // Adds an event of the device. It is dropped if there is no subscription for it.
  void push(const v4l2_event& event);
  bool pending() const { return !events_.empty(); }
  // Undefined if no event is pending.
  v4l2_event pop();

 private:
  struct Subscription {
    uint32_t type, id;
    unsigned depth;
  };
  bool is_subscribed(uint32_t type, uint32_t id, unsigned* depth) const;

  std::vector<Subscription> subscriptions_;
  std::deque<v4l2_event> events_;
  uint32_t sequence_ = UINT32_MAX;
};

}  // namespace preload
