#include <type_traits>

#include "arguments.h"
#include "ring.h"

// What JavaScript asks of the numbers of a ring.

namespace vmb {

template <typename Ask>
Napi::Value Ring::Told(const Napi::CallbackInfo& info, Ask ask) {
  const std::lock_guard lock(core_->mutex);
  const auto said = ask(*core_);
  if constexpr (std::is_same_v<decltype(said), const bool>) return Napi::Boolean::New(info.Env(), said);
  return Napi::Number::New(info.Env(), static_cast<double>(said));
}

Napi::Value Ring::Waiting(const Napi::CallbackInfo& info) {
  return Told(info, [](SplitRing& ring) { return ring.Waiting(); });
}

Napi::Value Ring::Popped(const Napi::CallbackInfo& info) {
  return Told(info, [](SplitRing& ring) { return ring.popped(); });
}

Napi::Value Ring::Pushed(const Napi::CallbackInfo& info) {
  return Told(info, [](SplitRing& ring) { return ring.pushed(); });
}

Napi::Value Ring::Outstanding(const Napi::CallbackInfo& info) {
  return Told(info, [](SplitRing& ring) { return ring.outstanding(); });
}

Napi::Value Ring::NextAvailable(const Napi::CallbackInfo& info) {
  return Told(info, [](SplitRing& ring) { return ring.next_available(); });
}

Napi::Value Ring::Lost(const Napi::CallbackInfo& info) {
  return Told(info, [](SplitRing& ring) { return ring.lost(); });
}

Napi::Value Ring::IsBroken(const Napi::CallbackInfo& info) {
  return Told(info, [](SplitRing& ring) { return ring.broken(); });
}

Napi::Value Ring::Free(const Napi::CallbackInfo& info) {
  return Told(info, [](SplitRing& ring) { return ring.Free(); });
}

Napi::Value Ring::Pool(const Napi::CallbackInfo& info) {
  return Told(info, [](SplitRing& ring) { return ring.pool(); });
}

Napi::Value Ring::Claim(const Napi::CallbackInfo& info) {
  return Told(info, [](SplitRing& ring) { return ring.Claim(); });
}

/** The loop has promised so many chains. `blocked`: and events of its own wait. */
void Ring::SetClaimed(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "setClaimed");
  const uint64_t claimed = arguments.Integer(0);
  if (!arguments.ok()) return;
  const bool blocked = info[1].ToBoolean();
  const std::lock_guard lock(core_->mutex);
  core_->SetClaimed(static_cast<int64_t>(claimed), blocked);
}

}  // namespace vmb
