#include "ring.h"

#include <errno.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "arguments.h"
#include "guest_memory.h"

namespace vmb {

namespace {

constexpr napi_type_tag kRingTag = {0x9a40d2e7b5c8416f, 0x83e60c1f94d7b2a5};
constexpr uint64_t kMaxSize = 32768;
constexpr uint64_t kEventIdx = 1;
constexpr uint64_t kIndirect = 2;
/** RingWalk of native.ts, in the low bits of what walk() returns. */
constexpr uint64_t kFoundBits = 2;
constexpr uint32_t kMaxParts = 64;

Napi::Value Number(const Napi::CallbackInfo& info, double value) { return Napi::Number::New(info.Env(), value); }

}  // namespace

void Ring::Export(Napi::Env env, Napi::Object exports) {
  exports.Set("Ring", DefineClass(env, "Ring",
                                  {InstanceMethod("bind", &Ring::Bind),
                                   InstanceMethod("start", &Ring::Start),
                                   InstanceMethod("walk", &Ring::Walk),
                                   InstanceMethod("why", &Ring::Why),
                                   InstanceMethod("shape", &Ring::Shape),
                                   InstanceMethod("copy", &Ring::Copy),
                                   InstanceMethod("copied", &Ring::Copied),
                                   InstanceMethod("take", &Ring::Take),
                                   InstanceMethod("refuse", &Ring::Refuse),
                                   InstanceMethod("reply", &Ring::Reply),
                                   InstanceMethod("push", &Ring::Push),
                                   InstanceMethod("abandon", &Ring::Abandon),
                                   InstanceMethod("takeNotification", &Ring::TakeNotification),
                                   InstanceMethod("enableKicks", &Ring::EnableKicks),
                                   InstanceMethod("disableKicks", &Ring::DisableKicks),
                                   InstanceMethod("stop", &Ring::Stop),
                                   InstanceMethod("waiting", &Ring::Waiting),
                                   InstanceMethod("popped", &Ring::Popped),
                                   InstanceMethod("pushed", &Ring::Pushed),
                                   InstanceMethod("outstanding", &Ring::Outstanding),
                                   InstanceMethod("nextAvailable", &Ring::NextAvailable),
                                   InstanceMethod("lost", &Ring::Lost),
                                   InstanceMethod("isBroken", &Ring::IsBroken),
                                   InstanceMethod("free", &Ring::Free),
                                   InstanceMethod("pool", &Ring::Pool),
                                   InstanceMethod("claim", &Ring::Claim),
                                   InstanceMethod("setClaimed", &Ring::SetClaimed),
                                   InstanceMethod("serve", &Ring::Serve),
                                   InstanceMethod("setKick", &Ring::SetKick),
                                   InstanceMethod("setCall", &Ring::SetCall),
                                   InstanceMethod("lend", &Ring::Lend),
                                   InstanceMethod("reclaim", &Ring::Reclaim),
                                   InstanceMethod("isLent", &Ring::IsLent),
                                   InstanceMethod("interrupt", &Ring::Interrupt),
                                   InstanceMethod("takeNotice", &Ring::TakeNotice)}));
}

Ring::Ring(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Ring>(info) {
  Arguments arguments(info, "Ring");
  const Napi::Object memory = arguments.Object(0);
  const uint64_t size = arguments.Integer(1, kMaxSize);
  const uint64_t flags = arguments.Integer(2, kEventIdx | kIndirect);
  const ChainWalk::Limits limits{arguments.Integer(3, UINT32_MAX), arguments.Integer(4, UINT16_MAX),
                                 arguments.Integer(5, uint64_t{1} << 32)};
  if (!arguments.ok()) return;
  auto shared = GuestMemoryObject::MemoryOf(info.Env(), memory);
  if (shared == nullptr) arguments.Refuse(0, "a GuestMemory");
  if (size == 0 || (size & (size - 1)) != 0) arguments.Refuse(1, "a power of two");
  if (!arguments.ok()) return;
  napi_type_tag_object(info.Env(), info.This(), &kRingTag);
  size_ = static_cast<uint32_t>(size);
  event_idx_ = (flags & kEventIdx) != 0;
  core_ = std::make_shared<SplitRing>(SplitRing::Options{std::move(shared), size_, event_idx_,
                                                         (flags & kIndirect) != 0, limits});
}

/** Views of the three parts. Their lengths and alignments are those of VIRTIO 1.4, 2.7. */
void Ring::Bind(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "bind");
  const std::span<uint8_t> parts[] = {arguments.Bytes(0), arguments.Bytes(1), arguments.Bytes(2)};
  if (!arguments.ok()) return;
  const uint64_t event = event_idx_ ? 2 : 0;
  const uint64_t lengths[] = {16 * uint64_t{size_}, 4 + 2 * uint64_t{size_} + event, 4 + 8 * uint64_t{size_} + event};
  const uint64_t alignments[] = {16, 2, 4};
  SplitRing::Places places{parts[0].data(), parts[1].data(), parts[2].data(), {}};
  const Napi::Array kept = Napi::Array::New(info.Env(), 3);
  const auto table = core_->table();
  for (uint32_t i = 0; i < 3; i++) {
    if (parts[i].size() < lengths[i] || reinterpret_cast<uintptr_t>(parts[i].data()) % alignments[i] != 0)
      return arguments.Refuse(i, "a part of a ring, long enough and aligned");
    places.holders[i] = table->HolderOf(parts[i]);
    if (places.holders[i] == nullptr) kept.Set(i, info[i]);
  }
  parts_ = Napi::Persistent(kept.As<Napi::Object>());
  const std::lock_guard lock(core_->mutex);
  core_->Bind(std::move(places));
}

void Ring::Start(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "start");
  const uint64_t base = arguments.Integer(0, UINT16_MAX);
  const uint64_t lost = arguments.Integer(1);
  if (!arguments.ok()) return;
  const std::lock_guard lock(core_->mutex);
  core_->Start(static_cast<uint16_t>(base), static_cast<uint16_t>(lost));
}

/** At most so many descriptors are read. Returns RingWalk, and above its bits how many were read. */
Napi::Value Ring::Walk(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "walk");
  const uint64_t limit = arguments.Integer(0);
  if (!arguments.ok()) return info.Env().Undefined();
  uint64_t left = limit;
  const std::lock_guard lock(core_->mutex);
  const auto found = static_cast<uint64_t>(core_->Walk(left));
  return Number(info, static_cast<double>((limit - left) << kFoundBits | found));
}

/** Why the ring is broken, or what is wrong with the chain that is walked. */
Napi::Value Ring::Why(const Napi::CallbackInfo& info) {
  const std::lock_guard lock(core_->mutex);
  if (core_->broken()) return Napi::String::New(info.Env(), core_->why_broken().text());
  return Napi::String::New(info.Env(), core_->walks() ? core_->walk().why().text() : "");
}

/** The chain whose walk is complete: its head, readable bytes, writable bytes and writable pieces. */
Napi::Value Ring::Shape(const Napi::CallbackInfo& info) {
  const std::lock_guard lock(core_->mutex);
  if (!core_->walks() || !core_->walk().is_read()) return info.Env().Undefined();
  const Chain& chain = core_->walk().chain();
  const double facts[] = {static_cast<double>(chain.head), static_cast<double>(chain.readable_bytes),
                          static_cast<double>(chain.writable_bytes), static_cast<double>(chain.writable.size())};
  const Napi::Array result = Napi::Array::New(info.Env(), std::size(facts));
  for (uint32_t i = 0; i < std::size(facts); i++) result.Set(i, Number(info, facts[i]));
  return result;
}

/** Copies readable bytes to the rest of `into`: at this price of a piece, within this budget. Returns what is left of the budget; undefined: a malformed chain. */
Napi::Value Ring::Copy(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "copy");
  const auto into = arguments.Bytes(0);
  const auto piece_price = static_cast<int64_t>(arguments.Integer(1, INT32_MAX));
  auto left = static_cast<int64_t>(arguments.Integer(2));
  if (!arguments.ok()) return info.Env().Undefined();
  const std::lock_guard lock(core_->mutex);
  if (!core_->walks() || !core_->walk().Copy(*core_->table(), into, piece_price, left)) return info.Env().Undefined();
  return Number(info, static_cast<double>(left));
}

/** How many readable bytes were copied. */
Napi::Value Ring::Copied(const Napi::CallbackInfo& info) {
  const std::lock_guard lock(core_->mutex);
  return Number(info, core_->walks() ? static_cast<double>(core_->walk().copied()) : 0);
}

/** Pops the chain whose walk is complete. Returns its number. */
Napi::Value Ring::Take(const Napi::CallbackInfo& info) {
  const std::lock_guard lock(core_->mutex);
  if (!core_->walks() || !core_->walk().is_read()) return info.Env().Undefined();
  do last_id_++;
  while (chains_.count(last_id_) > 0);
  chains_.emplace(last_id_, core_->Take());
  return Number(info, last_id_);
}

void Ring::Refuse(const Napi::CallbackInfo&) {
  const std::lock_guard lock(core_->mutex);
  if (core_->walks()) core_->Refuse();
}

const Chain* Ring::Find(Arguments& arguments) {
  const uint64_t id = arguments.Integer(0, UINT32_MAX);
  const auto found = arguments.ok() ? chains_.find(static_cast<uint32_t>(id)) : chains_.end();
  return found == chains_.end() ? nullptr : &found->second;
}

/** Writes the parts to the writable memory of a chain. Returns the bytes written. */
Napi::Value Ring::Reply(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "reply");
  const Chain* chain = Find(arguments);
  const Napi::Object list = arguments.Object(1);
  uint32_t length = 0;
  if (!arguments.ok() || chain == nullptr) return Number(info, 0);
  napi_get_array_length(info.Env(), list, &length);
  std::vector<std::span<const uint8_t>> parts;
  for (uint32_t i = 0; i < std::min(length, kMaxParts); i++) {
    napi_value element;
    std::span<uint8_t> bytes;
    if (napi_get_element(info.Env(), list, i, &element) != napi_ok || !ToBytes(info.Env(), element, bytes)) {
      arguments.Refuse(1, "an array of Uint8Arrays");
      return info.Env().Undefined();
    }
    parts.push_back(bytes);
  }
  return Number(info, static_cast<double>(chain->Reply(*core_->table(), parts)));
}

/** Gives a chain back with so many bytes written. False: there is no such chain. */
Napi::Value Ring::Push(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "push");
  const Chain* chain = Find(arguments);
  const uint64_t written = arguments.Integer(1, uint64_t{1} << 32);
  if (!arguments.ok() || chain == nullptr) return Napi::Boolean::New(info.Env(), false);
  const std::lock_guard lock(core_->mutex);
  core_->Push(*chain, static_cast<uint32_t>(written));
  chains_.erase(static_cast<uint32_t>(arguments.Integer(0)));
  return Napi::Boolean::New(info.Env(), true);
}

Napi::Value Ring::Abandon(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "abandon");
  const Chain* chain = Find(arguments);
  if (chain == nullptr) return Napi::Boolean::New(info.Env(), false);
  const std::lock_guard lock(core_->mutex);
  core_->Abandon();
  chains_.erase(static_cast<uint32_t>(arguments.Integer(0)));
  return Napi::Boolean::New(info.Env(), true);
}

Napi::Value Ring::TakeNotification(const Napi::CallbackInfo& info) {
  const std::lock_guard lock(core_->mutex);
  return Napi::Boolean::New(info.Env(), core_->TakeNotification());
}

Napi::Value Ring::EnableKicks(const Napi::CallbackInfo& info) {
  const std::lock_guard lock(core_->mutex);
  return Napi::Boolean::New(info.Env(), core_->EnableKicks());
}

void Ring::DisableKicks(const Napi::CallbackInfo&) {
  const std::lock_guard lock(core_->mutex);
  core_->DisableKicks();
}

void Ring::Stop(const Napi::CallbackInfo&) {
  if (threads_ != nullptr) threads_->Interrupt(EINTR);
  {
    const std::lock_guard lock(core_->mutex);
    core_->Stop();
    core_->SetCall(nullptr);
  }
  chains_.clear();
  parts_.Reset();
  stopped_ = true;
  if (threads_ == nullptr) return;
  threads_->Stop();
  // Late results come until the last ioctl has ended.
  if (!threads_->is_busy()) Shut();
}

std::shared_ptr<SplitRing> Ring::CoreOf(Napi::Env env, napi_value value) {
  const auto* ring = static_cast<Ring*>(UnwrapTagged(env, value, kRingTag));
  return ring == nullptr ? nullptr : ring->core_;
}

}  // namespace vmb
