#pragma once

#include <errno.h>
#include <napi.h>

#include <memory>

#include "ioctl.h"
#include "open_node.h"

namespace vmb {

class CallReader;

/**
 * One call on an open node, in three steps: it is parsed on the loop, run on the lane, and finished on the
 * loop. It works on private copies and refers to no JavaScript value, so any thread may destroy it.
 */
class NodeCall {
 public:
  NodeCall() = default;
  NodeCall(const NodeCall&) = delete;
  NodeCall& operator=(const NodeCall&) = delete;
  virtual ~NodeCall() = default;

  /** Returns an errno. It may wait for hardware or a lock despite O_NONBLOCK, so only the lane runs it. */
  virtual int Run(OpenNode& node) = 0;
  /** Called on the loop after Run has returned 0. `delivered`: the bytes are back in the arrays of `call`. */
  virtual void Finish([[maybe_unused]] Napi::Object call, [[maybe_unused]] bool delivered) {}
};

/** A call whose errno is known without a system call. */
class SettledCall : public NodeCall {
 public:
  explicit SettledCall(int error) : error_(error) {}
  int Run(OpenNode&) override { return error_; }

 private:
  int error_;
};

/** Reads a call object by its `kind`. Never null: a malformed one becomes a call that answers EINVAL. */
std::unique_ptr<NodeCall> ParseCall(CallReader& reader);

/** Each of these reads one kind of call. Null: the call is malformed. */
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
std::unique_ptr<NodeCall> ParsePoll(CallReader& reader);

}  // namespace vmb
