#include "node_file.h"

#include <numeric>
#include <optional>
#include <utility>

#include "arguments.h"
#include "callback.h"
#include "failure.h"
#include "plan_reader.h"

namespace vmb {

namespace {

/** The read-only property in which the object keeps its callback. */
constexpr const char* kOnReady = "onReady";
constexpr napi_type_tag kFileTag = {0x81d6c0f27a4e4b39, 0xa5f0932b7d1ce846};
/** NodeEvents.HELD of native.ts. */
constexpr uint32_t kHeld = 1u << 31;

class OpenCall : public NodeCall {
 public:
  OpenCall(std::string path, std::shared_ptr<LoopWake> wake)
      : path_(std::move(path)), wake_(std::move(wake)) {}
  int Run(OpenNode& node) override { return node.Open(path_, std::move(wake_)); }

 private:
  std::string path_;
  std::shared_ptr<LoopWake> wake_;
};

std::unique_ptr<NodeCall> OpenPath(const std::string& path, const std::shared_ptr<LoopWake>& wake) {
  // The kernel would end the path at the NUL byte and open another file.
  if (path.find('\0') != std::string::npos) return std::make_unique<SettledCall>(EINVAL);
  return std::make_unique<OpenCall>(path, wake);
}

class CloseCall : public NodeCall {
 public:
  explicit CloseCall(std::shared_ptr<NodeLane> lane) : lane_(std::move(lane)) {}
  int Run(OpenNode& node) override {
    lane_->gate().Close();
    {
      // It keeps the memory of buffers mapped.
      const std::lock_guard lock(node.plan_mutex);
      node.plan.reset();
    }
    node.Close();
    return 0;
  }

 private:
  std::shared_ptr<NodeLane> lane_;
};

/** Writes the results of the call back and finishes it. If an accessor throws here, the exception is dropped,
 * because no JavaScript could catch it. */
void Deliver(Napi::Object object, NodeCall& call, std::span<const CallBytes> copied, int error) {
  const Napi::Env env = object.Env();
  bool delivered = true;
  for (const CallBytes& bytes : copied) delivered = WriteBack(env, bytes) && delivered;
  if (error == 0) call.Finish(object, delivered);
  if (env.IsExceptionPending()) env.GetAndClearPendingException();
}

}  // namespace

void NodeFile::Export(Napi::Env env, Napi::Object exports) {
  exports.Set(
      "NodeFile",
      DefineClass(env, "NodeFile",
                  {InstanceMethod("open", &NodeFile::Open), InstanceMethod("submit", &NodeFile::Submit),
                   InstanceMethod("close", &NodeFile::Close), InstanceMethod("hold", &NodeFile::HoldGate),
                   InstanceMethod("release", &NodeFile::ReleaseGate), InstanceMethod("plan", &NodeFile::Plan),
                   InstanceMethod("takePlan", &NodeFile::TakePlan)}));
}

std::shared_ptr<NodeLane> NodeFile::LaneOf(Napi::Env env, napi_value value) {
  const auto* file = static_cast<NodeFile*>(UnwrapTagged(env, value, kFileTag));
  return file == nullptr ? nullptr : file->lane_;
}

NodeFile::NodeFile(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<NodeFile>(info),
      wake_(std::make_shared<LoopWake>()),
      lane_(std::make_shared<NodeLane>(wake_)) {
  Arguments arguments(info, "NodeFile");
  const Napi::Function on_ready = arguments.Function(0);
  if (!arguments.ok()) return;
  const auto woken = [](uv_async_t* async) { static_cast<NodeFile*>(async->data)->OnWake(); };
  const auto ended = [](void* self) { static_cast<NodeFile*>(self)->Abandon(); };
  if (const int error = wake_->Open(info.Env(), this, woken, ended)) {
    ThrowErrno(info.Env(), "uv_async_init", "", error);
    return;
  }
  wake_->Hold(false);
  napi_type_tag_object(info.Env(), info.This(), &kFileTag);
  // The callback is a property, because the garbage collector follows properties. The callback usually refers
  // to the file: a persistent reference from here would keep both alive for ever.
  const napi_property_descriptor property{kOnReady, nullptr, nullptr, nullptr, nullptr, on_ready, napi_default, nullptr};
  napi_define_properties(info.Env(), info.This(), 1, &property);
}

NodeFile::~NodeFile() { wake_->Close(); }

void NodeFile::Open(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "open");
  const std::string path = arguments.Text(0);
  const Napi::Function done = arguments.Function(1);
  if (!arguments.ok()) return;
  if (state_ != State::kNew) {
    Enqueue(Step::kCall, std::make_unique<SettledCall>(EBUSY), done, nullptr);
    return;
  }
  state_ = State::kOpening;
  Enqueue(Step::kOpen, OpenPath(path, wake_), done, nullptr);
}

void NodeFile::Submit(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "submit");
  const Napi::Object object = arguments.Object(0);
  const Napi::Function done = arguments.Function(1);
  if (!arguments.ok()) return;
  CallReader reader(object);
  std::unique_ptr<NodeCall> call = ParseCall(reader);
  if (info.Env().IsExceptionPending()) return;
  Enqueue(Step::kCall, std::move(call), done, &reader);
}

void NodeFile::Close(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "close");
  const bool told = !info[0].IsUndefined();
  if (told) arguments.Function(0);
  if (!arguments.ok()) return;
  if (!told && state_ >= State::kClosing) return;
  if (state_ != State::kClosed) state_ = State::kClosing;
  Enqueue(Step::kClose, std::make_unique<CloseCall>(lane_), info[0], nullptr);
}

Napi::Value NodeFile::HoldGate(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), lane_->gate().Hold());
}

void NodeFile::ReleaseGate(const Napi::CallbackInfo&) { lane_->gate().Release(); }

/** The loop has the file, so no thread uses the plan. */
void NodeFile::Plan(const Napi::CallbackInfo& info) {
  std::unique_ptr<FramePlan> plan = ReadPlan(info);
  if (plan == nullptr || state_ != State::kOpen || !lane_->gate().Hold()) return;
  const std::lock_guard lock(lane_->node().plan_mutex);
  lane_->node().plan = std::move(plan);
}

Napi::Value NodeFile::TakePlan(const Napi::CallbackInfo& info) {
  if (!lane_->gate().Hold()) return info.Env().Undefined();
  std::unique_ptr<FramePlan> plan;
  {
    const std::lock_guard lock(lane_->node().plan_mutex);
    plan = std::move(lane_->node().plan);
  }
  return plan == nullptr ? info.Env().Undefined() : PlanResult(info.Env(), *plan);
}

void NodeFile::Enqueue(Step step, std::unique_ptr<NodeCall> call, napi_value done, CallReader* reader) {
  const Napi::Env env = Env();
  const Napi::Array kept = Napi::Array::New(env);
  Pending pending{step, std::move(call), {}, {}};
  kept.Set(0u, done);
  if (reader != nullptr) {
    kept.Set(1u, reader->call());
    for (const CallBytes& bytes : reader->copied()) {
      pending.copied.push_back(bytes.bytes);
      kept.Set(kept.Length(), bytes.array);
    }
  }
  pending.kept = Napi::Persistent(kept.As<Napi::Object>());
  std::shared_ptr<NodeCall> shared = pending.call;
  pending_.push_back(std::move(pending));
  lane_->Submit(std::move(shared));
  Hold();
}

void NodeFile::OnWake() {
  const Napi::HandleScope scope(Env());
  // Keeps the object until the end of this function. A wake may come late, when the collector has taken an idle
  // file already.
  const Napi::Object self = Value();
  if (self.IsEmpty()) return;
  // Completed calls come first, then readiness: JavaScript must get the result of a QBUF before it hears of
  // the frame in that buffer.
  LoopTurn& turn = LoopTurn::Of(Env());
  std::optional<int> error;
  while (!turn.IsOver() && (error = lane_->TakeResult())) Complete(*error, turn);
  if (lane_->gate().TakeHeld()) CallFromLoop(Env(), self.Get(kOnReady), {Napi::Number::New(Env(), kHeld)});
  if (turn.IsOver()) {
    wake_->Send();
  } else if (state_ == State::kOpen) {
    // Events that the watcher reports before open() has completed stay in `wake_` for a later turn.
    if (const uint32_t events = wake_->Take())
      CallFromLoop(Env(), self.Get(kOnReady), {Napi::Number::New(Env(), events)});
  }
  Hold();
}

void NodeFile::Complete(int error, LoopTurn& turn) {
  if (pending_.empty()) return;
  const Napi::Env env = Env();
  const Napi::HandleScope scope(env);
  Pending pending = std::move(pending_.front());
  pending_.pop_front();
  turn.Spend(std::accumulate(pending.copied.begin(), pending.copied.end(), size_t{0},
                             [](size_t sum, std::span<uint8_t> bytes) { return sum + bytes.size(); }));
  Advance(pending.step, error);
  const Napi::Object kept = pending.kept.Value();
  const Napi::Value object = kept.Get(1u);
  if (object.IsObject()) {
    std::vector<CallBytes> copied;
    for (const std::span<uint8_t> bytes : pending.copied) {
      const auto index = static_cast<uint32_t>(copied.size() + 2);
      copied.push_back({kept.Get(index), bytes});
    }
    Deliver(object.As<Napi::Object>(), *pending.call, copied, error);
  }
  // The call releases its memory and descriptors before JavaScript hears that it is over.
  pending.call.reset();
  const Napi::Value done = kept.Get(0u);
  if (done.IsFunction()) CallFromLoop(env, done, {Napi::Number::New(env, error)});
}

void NodeFile::Advance(Step step, int error) {
  if (step == Step::kOpen && state_ == State::kOpening) state_ = error == 0 ? State::kOpen : State::kNew;
  if (step == Step::kClose) state_ = State::kClosed;
}

/** As long as the node is open or calls are pending, the object stays alive and keeps the process alive. */
void NodeFile::Hold() {
  const bool idle = pending_.empty() && (state_ == State::kNew || state_ == State::kClosed);
  if (held_ == !idle) return;
  held_ = !idle;
  wake_->Hold(held_);
  held_ ? Ref() : Unref();
}

/** The environment ends. The lane runs the calls that it has and closes an open node. The results are
 * dropped. */
void NodeFile::Abandon() {
  const bool open = state_ == State::kOpening || state_ == State::kOpen;
  state_ = State::kClosed;
  wake_->Close();
  pending_.clear();
  if (open) lane_->Submit(std::make_shared<CloseCall>(lane_));
  Hold();
}

}  // namespace vmb
