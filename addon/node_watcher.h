#pragma once

#include <pthread.h>

#include <cstdint>
#include <memory>

#include "loop_wake.h"
#include "unique_fd.h"

namespace vmb {

class OpenNode;

/**
 * A thread with a private epoll on one V4L2 descriptor. Even epoll_wait(0), epoll_ctl and close can wait for
 * a driver's lock for seconds, so the lane calls Start, Watch and Stop.
 */
class NodeWatcher {
 public:
  /** Starts with EPOLLPRI, edge-triggered. Readiness that `node` leaves to the loop goes to `wake`. Returns an errno. */
  int Start(OpenNode& node, std::shared_ptr<LoopWake> wake);
  /** Sets what the thread waits for. `events`: epoll bits; EPOLLET is always added. Returns an errno. */
  int Watch(int node, uint32_t events);
  /** Ends the thread and waits until it has ended. Harmless if it does not run. */
  void Stop(int node);

 private:
  static void* Run(void* self);

  OpenNode* node_ = nullptr;
  std::shared_ptr<LoopWake> wake_;
  UniqueFd epoll_;
  UniqueFd stop_;
  pthread_t thread_{};
  bool running_ = false;
};

}  // namespace vmb
