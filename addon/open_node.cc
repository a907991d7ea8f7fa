#include "open_node.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>

#include <utility>

namespace vmb {

int OpenNode::Open(const std::string& path, std::shared_ptr<LoopWake> wake) {
  if (is_open()) return EBUSY;
  do {
    fd_.Reset(open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  } while (!fd_ && errno == EINTR);
  if (!fd_) return errno;
  const int error = watcher_.Start(*this, std::move(wake));
  if (error != 0) Close();
  return error;
}

int OpenNode::SetNonBlocking(bool on) {
  const int flags = fcntl(fd_.get(), F_GETFL);
  if (flags < 0) return errno;
  const int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  return wanted == flags || fcntl(fd_.get(), F_SETFL, wanted) == 0 ? 0 : errno;
}

bool OpenNode::DrainFrames(std::shared_ptr<Doorbell>& call) {
  if (plan == nullptr) return false;
  const bool done = plan->Drain(fd());
  if (auto wanted = plan->TakeCall()) call = std::move(wanted);
  return done;
}

bool OpenNode::OnReady(uint32_t events) {
  // An unplugged node is the loop's.
  if ((events & EPOLLHUP) != 0) return false;
  const SessionGate::Ready ready = gate.UseForFrames();
  if (ready != SessionGate::Ready::kUse) return ready == SessionGate::Ready::kThread;
  std::shared_ptr<Doorbell> call;
  // And so are V4L2 events that the plan does not know.
  bool done = (events & EPOLLPRI) == 0 || (plan != nullptr && plan->options().subscribed);
  done = DrainFrames(call) && done;
  const SessionGate::Left left = Settle(gate.Done(false), std::move(call), done);
  return done && !left.held && !left.frames;
}

SessionGate::Left OpenNode::Settle(SessionGate::Left left, std::shared_ptr<Doorbell> call, bool& done) {
  while (left.again) {
    done = DrainFrames(call) && done;
    left = gate.Done(false);
  }
  if (call != nullptr) call->Ring();
  return left;
}

void OpenNode::Close() {
  watcher_.Stop(fd_.get());
  fd_.Reset();
}

}  // namespace vmb
