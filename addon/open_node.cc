#include "open_node.h"

#include <errno.h>
#include <fcntl.h>

#include <utility>

namespace vmb {

namespace {

/** O_NONBLOCK belongs to the open file: DQBUF would wait on a descriptor that was opened without. */
int MakeNonBlocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return errno;
  return (flags & O_NONBLOCK) != 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 ? 0 : errno;
}

}  // namespace

int OpenNode::Open(const std::string& path, UniqueFd inherited, std::shared_ptr<LoopWake> wake) {
  if (is_open()) return EBUSY;
  UniqueFd fd = std::move(inherited);
  if (!fd) {
    do {
      fd.Reset(open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
    } while (!fd && errno == EINTR);
  }
  if (!fd) return errno;
  int error = MakeNonBlocking(fd.get());
  if (error == 0) error = watcher_.Start(fd.get(), std::move(wake));
  fd_ = std::move(fd);
  if (error != 0) Close();
  return error;
}

void OpenNode::Close() {
  watcher_.Stop(fd_.get());
  fd_.Reset();
}

}  // namespace vmb
