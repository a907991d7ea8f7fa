// VIDIOC_G/S_PRIORITY: the guest's kernel stores the priorities; the device does not know them.
#pragma once

#include <array>
#include <linux/videodev2.h>
#include <mutex>

namespace preload {

// The priorities of all open files of one node.
class Priorities {
 public:
  void add(v4l2_priority priority);
  void remove(v4l2_priority priority);
  v4l2_priority highest();
  // Whether a file of this priority may change the node's state.
  bool may_change(v4l2_priority priority) { return priority >= highest(); }

 private:
  std::mutex mutex_;
  std::array<int, V4L2_PRIORITY_RECORD + 1> files_{};
};

}  // namespace preload
