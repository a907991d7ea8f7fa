#include <errno.h>

#include <utility>

#include "callback.h"
#include "command_table.h"
#include "failure.h"
#include "ring.h"

// The threads of a ring, as JavaScript sees them.

namespace vmb {

namespace {

constexpr uint64_t kMaxThreads = 64;

}  // namespace

/** Threads for flat commands: a CommandTable, the kick, RingThreads::Limits, and what is woken. */
void Ring::Serve(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "serve");
  const Napi::Object table = arguments.Object(0);
  const int kick = arguments.Descriptor(1);
  const auto milliseconds = [&](size_t index) { return static_cast<int64_t>(arguments.Integer(index, INT32_MAX)); };
  RingThreads::Limits limits{};
  limits.deadline = milliseconds(2);
  limits.last_write = milliseconds(3);
  limits.guest_timeout = milliseconds(4);
  limits.threads = static_cast<uint32_t>(arguments.Integer(5, kMaxThreads));
  const Napi::Function woken = arguments.Function(6);
  if (!arguments.ok() || stopped_ || threads_ != nullptr) return;
  auto commands = CommandTableObject::TableOf(info.Env(), table);
  if (commands == nullptr) return arguments.Refuse(0, "a CommandTable");
  wake_ = std::make_shared<LoopWake>();
  const auto on_wake = [](uv_async_t* async) { static_cast<Ring*>(async->data)->OnWake(); };
  const auto ended = [](void* self) { static_cast<Ring*>(self)->Shut(); };
  int error = wake_->Open(info.Env(), this, on_wake, ended);
  auto threads = std::make_shared<RingThreads>(core_, std::move(commands), wake_, limits);
  if (error == 0) error = threads->Open(kick);
  if (error != 0) {
    wake_->Close();
    ThrowErrno(info.Env(), "epoll_ctl", "", error);
    return;
  }
  wake_->Hold(false);
  threads_ = std::move(threads);
  woken_ = Napi::Persistent(woken);
  Ref();
}

void Ring::SetKick(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "setKick");
  const int kick = arguments.Descriptor(0);
  if (!arguments.ok() || threads_ == nullptr) return;
  if (const int error = threads_->SetKick(kick)) ThrowErrno(info.Env(), "epoll_ctl", "", error);
}

void Ring::SetCall(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "setCall");
  const int call = arguments.Descriptor(0);
  if (!arguments.ok()) return;
  std::shared_ptr<Doorbell> bell = call < 0 ? nullptr : std::make_shared<Doorbell>(call);
  const std::lock_guard lock(core_->mutex);
  core_->SetCall(std::move(bell));
}

void Ring::Lend(const Napi::CallbackInfo& info) {
  if (threads_ == nullptr || stopped_) return;
  if (const int error = threads_->Lend()) ThrowErrno(info.Env(), "pthread_create", "", error);
}

void Ring::Reclaim(const Napi::CallbackInfo&) {
  if (threads_ != nullptr) threads_->Reclaim();
}

Napi::Value Ring::IsLent(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), threads_ != nullptr && threads_->is_lent());
}

void Ring::Interrupt(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "interrupt");
  const uint64_t error = arguments.Integer(0, INT32_MAX);
  if (arguments.ok() && threads_ != nullptr) threads_->Interrupt(static_cast<int>(error));
}

/** What the loop has to do for a session: RingNotice, session, errno, command, payload. */
Napi::Value Ring::TakeNotice(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto notice = threads_ == nullptr ? std::nullopt : threads_->TakeNotice();
  if (!notice) return env.Undefined();
  const auto bytes = [&](const std::vector<uint8_t>& from) {
    return Napi::Buffer<uint8_t>::Copy(env, from.data(), from.size());
  };
  const Napi::Array result = Napi::Array::New(env, 5);
  result.Set(0u, Napi::Number::New(env, static_cast<double>(notice->what)));
  result.Set(1u, Napi::Number::New(env, notice->session));
  result.Set(2u, Napi::Number::New(env, notice->error));
  result.Set(3u, bytes(notice->request));
  result.Set(4u, bytes(notice->payload));
  return result;
}

void Ring::OnWake() {
  const Napi::HandleScope scope(Env());
  if (!woken_.IsEmpty()) CallFromLoop(Env(), woken_.Value(), {});
  if (stopped_ && threads_ != nullptr && !threads_->is_busy()) Shut();
}

/** Nothing wakes the loop any more. */
void Ring::Shut() {
  if (threads_ == nullptr) return;
  threads_->Stop();
  threads_.reset();
  wake_->Close();
  woken_.Reset();
  Unref();
}

Ring::~Ring() {
  if (wake_ != nullptr) wake_->Close();
}

}  // namespace vmb
