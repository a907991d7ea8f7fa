#include "node_watcher.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "epoll_control.h"
#include "open_node.h"
#include "thread.h"

namespace vmb {

namespace {

constexpr uint64_t kStop = 0;
constexpr uint64_t kNode = 1;

}  // namespace

int NodeWatcher::Start(OpenNode& node, std::shared_ptr<LoopWake> wake) {
  node_ = &node;
  wake_ = std::move(wake);
  epoll_.Reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return errno;
  stop_.Reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!stop_) return errno;
  if (const int error = Control(epoll_.get(), EPOLL_CTL_ADD, stop_.get(), EPOLLIN, kStop)) return error;
  // EPOLLPRI alone never starts the read() emulation of vb2. EPERM: the file has no poll operation, so it
  // never becomes ready; that is no error.
  const int error = Control(epoll_.get(), EPOLL_CTL_ADD, node.fd(), EPOLLPRI | EPOLLET, kNode);
  if (error != 0 && error != EPERM) return error;
  const int started = StartThread(Run, this, &thread_);
  running_ = started == 0;
  return started;
}

int NodeWatcher::Watch(int node, uint32_t events) {
  return Control(epoll_.get(), EPOLL_CTL_MOD, node, events | EPOLLET, kNode);
}

void NodeWatcher::Stop(int node) {
  if (running_) {
    // This call waits until a running poll of the node has ended. Afterwards the thread can only be in
    // epoll_wait, no longer in the driver.
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, node, nullptr);
    const uint64_t one = 1;
    // This write does not wait, because the counter of the eventfd is 0.
    (void)!write(stop_.get(), &one, sizeof one);
    pthread_join(thread_, nullptr);
    running_ = false;
  }
  epoll_.Reset();
  stop_.Reset();
  wake_.reset();
}

void* NodeWatcher::Run(void* argument) {
  auto* self = static_cast<NodeWatcher*>(argument);
  pthread_setname_np(pthread_self(), "vmb-watcher");
  AdmitBusErrors();
  for (;;) {
    epoll_event ready[2];
    const int count = epoll_wait(self->epoll_.get(), ready, 2, -1);
    for (int i = 0; i < count; i++) {
      if (ready[i].data.u64 == kStop) return nullptr;
      if (!self->node_->OnReady(ready[i].events)) self->wake_->Send(ready[i].events);
    }
  }
}

}  // namespace vmb
