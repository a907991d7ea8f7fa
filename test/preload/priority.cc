#include "priority.h"

namespace preload {

void Priorities::add(v4l2_priority priority) {
  std::lock_guard lock(mutex_);
  files_[priority]++;
}

void Priorities::remove(v4l2_priority priority) {
  std::lock_guard lock(mutex_);
  files_[priority]--;
}

v4l2_priority Priorities::highest() {
  std::lock_guard lock(mutex_);
  for (const auto priority : {V4L2_PRIORITY_RECORD, V4L2_PRIORITY_INTERACTIVE, V4L2_PRIORITY_BACKGROUND})
    if (files_[priority] > 0) return priority;
  return V4L2_PRIORITY_UNSET;
}

}  // namespace preload
