#pragma once

#include <errno.h>
#include <napi.h>
#include <sys/ioctl.h>

#include <memory>

#include "open_node.h"

namespace vmb {

class CallReader;

/**
 * One call on an open node, in three steps: parsed on the loop, run on whichever thread, finished on the
 * loop. It works on private copies and holds no JavaScript value, so it may be destroyed on any thread.
 */
class NodeCall {
 public:
  NodeCall() = default;
  NodeCall(const NodeCall&) = delete;
  NodeCall& operator=(const NodeCall&) = delete;
  virtual ~NodeCall() = default;

  /** Returns an errno. */
  virtual int Run(OpenNode& node) = 0;
  /** It waits, for the hardware or a lock, whatever O_NONBLOCK says: never run on the loop. */
  virtual bool NeedsLane() const { return false; }
  /** After Run returned 0. `delivered`: its bytes are back in the arrays of `call`. */
  virtual void Finish([[maybe_unused]] Napi::Object call, [[maybe_unused]] bool delivered) {}
};

/** A call that has its result without a kernel. */
class SettledCall : public NodeCall {
 public:
  explicit SettledCall(int error) : error_(error) {}
  int Run(OpenNode&) override { return error_; }

 private:
  int error_;
};

/** Reads a call object by its `kind`. Never null: a malformed call is one that answers EINVAL. */
std::unique_ptr<NodeCall> ParseCall(CallReader& reader);

/** One kind of call each. Null: malformed. */
std::unique_ptr<NodeCall> ParseRequest(CallReader& reader);
std::unique_ptr<NodeCall> ParseBuffer(CallReader& reader);
std::unique_ptr<NodeCall> ParseDequeueBuffer(CallReader& reader);
std::unique_ptr<NodeCall> ParseDequeueEvent(CallReader& reader);
std::unique_ptr<NodeCall> ParseControls(CallReader& reader);
std::unique_ptr<NodeCall> ParseEdid(CallReader& reader);
std::unique_ptr<NodeCall> ParseAllocateRequest(CallReader& reader);
std::unique_ptr<NodeCall> ParseQueueRequest(CallReader& reader);
std::unique_ptr<NodeCall> ParseReinitRequest(CallReader& reader);
std::unique_ptr<NodeCall> ParseCloseRequest(CallReader& reader);
std::unique_ptr<NodeCall> ParseMap(CallReader& reader);
std::unique_ptr<NodeCall> ParseJoin(CallReader& reader);
std::unique_ptr<NodeCall> ParseWatch(CallReader& reader);

inline int Ioctl(int fd, unsigned long request, void* payload) {
  int result;
  do {
    result = ioctl(fd, request, payload);
  } while (result < 0 && errno == EINTR);
  return result < 0 ? errno : 0;
}

}  // namespace vmb
