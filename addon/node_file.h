#pragma once

#include <napi.h>

#include <deque>
#include <memory>
#include <vector>

#include "call_reader.h"
#include "loop_turn.h"
#include "loop_wake.h"
#include "node_call.h"
#include "node_lane.h"

namespace vmb {

/** The JavaScript class NodeFile: the loop's side of one open file. */
class NodeFile : public Napi::ObjectWrap<NodeFile> {
 public:
  static void Export(Napi::Env env, Napi::Object exports);
  explicit NodeFile(const Napi::CallbackInfo& info);
  ~NodeFile() override;
  /** Null: the value is no NodeFile. */
  static std::shared_ptr<NodeLane> LaneOf(Napi::Env env, napi_value value);

 private:
  enum class State { kNew, kOpening, kOpen, kClosing, kClosed };
  enum class Step { kOpen, kCall, kClose };

  /** A step that the lane has not completed. `kept`: an array of the callback, the call object, then the
   * arrays of `copied`. */
  struct Pending {
    Step step;
    std::shared_ptr<NodeCall> call;
    std::vector<std::span<uint8_t>> copied;
    Napi::ObjectReference kept;
  };

  void Open(const Napi::CallbackInfo& info);
  void Submit(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);
  Napi::Value HoldGate(const Napi::CallbackInfo& info);
  void ReleaseGate(const Napi::CallbackInfo& info);
  void Plan(const Napi::CallbackInfo& info);
  Napi::Value TakePlan(const Napi::CallbackInfo& info);

  void Enqueue(Step step, std::unique_ptr<NodeCall> call, napi_value done, CallReader* reader);
  void OnWake();
  void Complete(int error, LoopTurn& turn);
  void Advance(Step step, int error);
  void Hold();
  void Abandon();

  State state_ = State::kNew;
  bool held_ = false;
  std::shared_ptr<LoopWake> wake_;
  std::shared_ptr<NodeLane> lane_;
  std::deque<Pending> pending_;
};

}  // namespace vmb
