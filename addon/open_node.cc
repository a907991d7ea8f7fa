#include "open_node.h"

#include <errno.h>
#include <fcntl.h>

#include <utility>

namespace vmb {

int OpenNode::Open(const std::string& path, std::shared_ptr<LoopWake> wake) {
  if (is_open()) return EBUSY;
  do {
    fd_.Reset(open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  } while (!fd_ && errno == EINTR);
  if (!fd_) return errno;
  const int error = watcher_.Start(fd_.get(), std::move(wake));
  if (error != 0) Close();
  return error;
}

int OpenNode::SetNonBlocking(bool on) {
  const int flags = fcntl(fd_.get(), F_GETFL);
  if (flags < 0) return errno;
  const int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  return wanted == flags || fcntl(fd_.get(), F_SETFL, wanted) == 0 ? 0 : errno;
}

void OpenNode::Close() {
  watcher_.Stop(fd_.get());
  fd_.Reset();
}

}  // namespace vmb
