#pragma once

#include <napi.h>

#include <memory>
#include <unordered_map>

#include "arguments.h"
#include "loop_wake.h"
#include "ring_threads.h"
#include "split_ring.h"

namespace vmb {

/** The JavaScript class Ring: the loop's side of a split virtqueue, and the chains that the loop has popped. */
class Ring : public Napi::ObjectWrap<Ring> {
 public:
  static void Export(Napi::Env env, Napi::Object exports);
  explicit Ring(const Napi::CallbackInfo& info);
  ~Ring() override;
  /** Null: the value is no Ring. */
  static std::shared_ptr<SplitRing> CoreOf(Napi::Env env, napi_value value);

 private:
  void Bind(const Napi::CallbackInfo& info);
  void Start(const Napi::CallbackInfo& info);
  Napi::Value Walk(const Napi::CallbackInfo& info);
  Napi::Value Why(const Napi::CallbackInfo& info);
  Napi::Value Shape(const Napi::CallbackInfo& info);
  Napi::Value Copy(const Napi::CallbackInfo& info);
  Napi::Value Copied(const Napi::CallbackInfo& info);
  Napi::Value Take(const Napi::CallbackInfo& info);
  void Refuse(const Napi::CallbackInfo& info);
  Napi::Value Reply(const Napi::CallbackInfo& info);
  Napi::Value Push(const Napi::CallbackInfo& info);
  Napi::Value Abandon(const Napi::CallbackInfo& info);
  Napi::Value TakeNotification(const Napi::CallbackInfo& info);
  Napi::Value EnableKicks(const Napi::CallbackInfo& info);
  void DisableKicks(const Napi::CallbackInfo& info);
  void Stop(const Napi::CallbackInfo& info);
  Napi::Value Waiting(const Napi::CallbackInfo& info);
  Napi::Value Popped(const Napi::CallbackInfo& info);
  Napi::Value Pushed(const Napi::CallbackInfo& info);
  Napi::Value Outstanding(const Napi::CallbackInfo& info);
  Napi::Value NextAvailable(const Napi::CallbackInfo& info);
  Napi::Value Lost(const Napi::CallbackInfo& info);
  Napi::Value IsBroken(const Napi::CallbackInfo& info);
  Napi::Value Free(const Napi::CallbackInfo& info);
  Napi::Value Pool(const Napi::CallbackInfo& info);
  Napi::Value Claim(const Napi::CallbackInfo& info);
  void SetClaimed(const Napi::CallbackInfo& info);
  void Serve(const Napi::CallbackInfo& info);
  void SetKick(const Napi::CallbackInfo& info);
  void SetCall(const Napi::CallbackInfo& info);
  void Lend(const Napi::CallbackInfo& info);
  void Reclaim(const Napi::CallbackInfo& info);
  Napi::Value IsLent(const Napi::CallbackInfo& info);
  void Interrupt(const Napi::CallbackInfo& info);
  Napi::Value TakeNotice(const Napi::CallbackInfo& info);

  void OnWake();
  void Shut();

  /** A number, or true or false: what `ask` says of the ring, with its lock. */
  template <typename Ask>
  Napi::Value Told(const Napi::CallbackInfo& info, Ask ask);
  /** The popped chain whose number is the first argument. Null: there is none. */
  const Chain* Find(Arguments& arguments);

  std::shared_ptr<SplitRing> core_;
  /** Keeps the memory of the three parts, if no mapping of guest memory has it. */
  Napi::ObjectReference parts_;
  uint32_t size_ = 0;
  bool event_idx_ = false;
  std::unordered_map<uint32_t, Chain> chains_;
  uint32_t last_id_ = 0;

  /** Null: the ring is the loop's alone. */
  std::shared_ptr<RingThreads> threads_;
  std::shared_ptr<LoopWake> wake_;
  Napi::FunctionReference woken_;
  bool stopped_ = false;
};

}  // namespace vmb
