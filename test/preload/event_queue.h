// The V4L2 events of one open file, as v4l2-event keeps them: a ring for each subscription, one order over all.
#pragma once

#include <cstdint>
#include <deque>
#include <linux/videodev2.h>
#include <vector>

namespace preload {

class EventQueue {
 public:
  // True: it is new.
  bool subscribe(const v4l2_event_subscription& subscription);
  void unsubscribe(const v4l2_event_subscription& subscription);
  // An event of the device: dropped unless it is subscribed to.
  void push(const v4l2_event& event);
  bool pending() const { return !events_.empty(); }
  // Undefined where nothing is pending.
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
