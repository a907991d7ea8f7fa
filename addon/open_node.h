#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "loop_wake.h"
#include "node_watcher.h"
#include "unique_fd.h"

namespace vmb {

/** The descriptor of a node, and its watcher. Only the lane uses it, except for the descriptor behind the gate. */
class OpenNode {
 public:
  OpenNode() = default;
  OpenNode(const OpenNode&) = delete;
  OpenNode& operator=(const OpenNode&) = delete;
  ~OpenNode() { Close(); }

  /** Opens `path` with O_NONBLOCK. Returns an errno. */
  int Open(const std::string& path, std::shared_ptr<LoopWake> wake);
  /** Harmless if nothing is open. */
  void Close();

  bool is_open() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }
  /** Sets or clears O_NONBLOCK of the open file. Returns an errno. */
  int SetNonBlocking(bool on);
  int Watch(uint32_t events) { return watcher_.Watch(fd_.get(), events); }

 private:
  UniqueFd fd_;
  NodeWatcher watcher_;
};

}  // namespace vmb
