#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "loop_wake.h"
#include "node_watcher.h"
#include "unique_fd.h"

namespace vmb {

/**
 * A node's descriptor and its watcher. Opened and closed on the lane; the loop uses it only between the
 * completion of the one and the request for the other.
 */
class OpenNode {
 public:
  OpenNode() = default;
  OpenNode(const OpenNode&) = delete;
  OpenNode& operator=(const OpenNode&) = delete;
  ~OpenNode() { Close(); }

  /** Opens `path` where `inherited` is empty. Returns an errno. */
  int Open(const std::string& path, UniqueFd inherited, std::shared_ptr<LoopWake> wake);
  /** Harmless where nothing is open. */
  void Close();

  bool is_open() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }
  /** O_NONBLOCK of the open file, which is set by Open. Returns an errno. */
  int SetNonBlocking(bool on);
  int Watch(uint32_t events) { return watcher_.Watch(fd_.get(), events); }

 private:
  UniqueFd fd_;
  NodeWatcher watcher_;
};

}  // namespace vmb
