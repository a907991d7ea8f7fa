#pragma once

#include <pthread.h>

#include <cstdint>
#include <memory>

#include "loop_wake.h"
#include "unique_fd.h"

namespace vmb {

/**
 * A thread with a private epoll on one V4L2 descriptor. Even epoll_wait with no timeout can wait seconds for
 * a driver's lock, so nothing of this may run on the loop except Watch, where its caller says that the node
 * is quiet.
 */
class NodeWatcher {
 public:
  /** With EPOLLPRI, edge-triggered; readiness goes to `wake`. Returns an errno. */
  int Start(int node, std::shared_ptr<LoopWake> wake);
  /** `events`: a mask of epoll bits other than EPOLLET, which is added. Returns an errno. */
  int Watch(int node, uint32_t events);
  /** Waits until the thread has ended. Harmless where it does not run. */
  void Stop(int node);

 private:
  static void* Run(void* self);

  std::shared_ptr<LoopWake> wake_;
  UniqueFd epoll_;
  UniqueFd stop_;
  pthread_t thread_{};
  bool running_ = false;
};

}  // namespace vmb
