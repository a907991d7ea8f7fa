/** The interrupt endpoint: the camera reports changes of its state. */
#pragma once

#include <cstdint>
#include <deque>

#include "link.h"

namespace usb_camera {

class StatusPipe {
 public:
  void Say(Bytes packet) { packets_.push_back(std::move(packet)); }
  void Take(Transfer transfer) { waiting_.push_back(std::move(transfer)); }
  bool Drop(uint32_t sequence) {
    return std::erase_if(waiting_, [&](const Transfer& each) { return each.sequence == sequence; }) > 0;
  }
  void Reset() {
    waiting_.clear();
    packets_.clear();
  }
  void Run(Link& link) {
    for (; !waiting_.empty() && !packets_.empty(); waiting_.pop_front(), packets_.pop_front())
      link.Complete(waiting_.front(), 0, packets_.front());
  }

 private:
  std::deque<Transfer> waiting_;
  std::deque<Bytes> packets_;
};

}  // namespace usb_camera
