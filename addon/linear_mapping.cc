#include "linear_mapping.h"

#include <errno.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "arguments.h"
#include "call_reader.h"
#include "node_call.h"
#include "region.h"

namespace vmb {

namespace {

constexpr napi_type_tag kLinearMappingTag = {0x41f7c2a95d0e4b63, 0xb82d96e1753fa40c};
constexpr uint32_t kMaxPieces = 65536;
constexpr uint64_t kMaxSize = UINT32_MAX;

/** What the JavaScript object wraps. Empty: it is closed. */
using Held = std::shared_ptr<Mapping>;

Napi::Value Close(const Napi::CallbackInfo& info) {
  auto* held = static_cast<Held*>(UnwrapTagged(info.Env(), info.This(), kLinearMappingTag));
  if (held == nullptr) {
    Napi::TypeError::New(info.Env(), "close: not a LinearMapping").ThrowAsJavaScriptException();
  } else {
    held->reset();
  }
  return info.Env().Undefined();
}

/** Makes the JavaScript object. It has no class, so JavaScript cannot construct one without a mapping. Empty:
 * it failed, with an exception pending. */
Napi::Value CreateObject(Napi::Env env, Held mapping) {
  const Napi::Object object = Napi::Object::New(env);
  const Napi::Value size = Napi::Number::New(env, static_cast<double>(mapping->size()));
  const napi_property_descriptor properties[] = {
      {"size", nullptr, nullptr, nullptr, nullptr, size, napi_enumerable, nullptr},
      {"close", nullptr, nullptr, nullptr, nullptr, Napi::Function::New<Close>(env, "close"), napi_default,
       nullptr},
  };
  auto held = std::make_unique<Held>(std::move(mapping));
  const auto release = [](napi_env, void* wrapped, void*) { delete static_cast<Held*>(wrapped); };
  if (napi_wrap(env, object, held.get(), release, nullptr, nullptr) != napi_ok) return {};
  held.release();
  const bool made = napi_type_tag_object(env, object, &kLinearMappingTag) == napi_ok &&
                    napi_define_properties(env, object, 2, properties) == napi_ok;
  return made ? Napi::Value(object) : Napi::Value();
}

/** Reads one { region, offset, length }. False: the value is something else, or the region is closed. */
bool ReadPiece(CallReader& reader, Mapping::Piece& into) {
  const Napi::Value region = reader.Get("region");
  if (!reader.ok()) return false;
  into.of = Region::MappingOf(reader.env(), region);
  into.offset = reader.Integer("offset");
  into.length = reader.Integer("length");
  return reader.ok() && into.of != nullptr;
}

/** Returns an errno. */
int ReadPieces(Napi::Array list, std::vector<Mapping::Piece>& pieces) {
  const uint32_t count = list.Length();
  if (count == 0 || count > kMaxPieces) return EINVAL;
  pieces.resize(count);
  CallReader elements(list);
  uint64_t size = 0;
  for (uint32_t i = 0; i < count; i++) {
    const Napi::HandleScope scope(list.Env());
    CallReader reader(elements.At(list, i));
    if (!ReadPiece(reader, pieces[i]) || pieces[i].length > kMaxSize - size) return EINVAL;
    size += pieces[i].length;
  }
  return 0;
}

Napi::Value LinearMapping(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Arguments arguments(info, "linearMapping");
  if (!info[0].IsArray()) arguments.Refuse(0, "an array");
  if (!arguments.ok()) return env.Undefined();
  std::vector<Mapping::Piece> pieces;
  const int error = ReadPieces(info[0].As<Napi::Array>(), pieces);
  // An accessor has thrown it.
  if (env.IsExceptionPending()) return env.Undefined();
  if (error != 0) return Napi::Number::New(env, -error);
  Held mapping = Mapping::Join(pieces);
  return mapping == nullptr ? Napi::Number::New(env, -errno) : CreateObject(env, std::move(mapping));
}

/** A piece as the call `join` has it, 16 bytes. `region`: an index into `regions`. */
struct PackedPiece {
  uint64_t offset;
  uint32_t length;
  uint32_t region;
};

/** linearMapping on the lane, because the kernel takes milliseconds for a long list. */
class JoinCall : public NodeCall {
 public:
  explicit JoinCall(std::vector<Mapping::Piece> pieces) : pieces_(std::move(pieces)) {}

  int Run(OpenNode&) override {
    mapping_ = Mapping::Join(pieces_);
    const int error = mapping_ == nullptr ? errno : 0;
    pieces_.clear();
    return error;
  }

  void Finish(Napi::Object call, bool) override {
    const Napi::Value mapping = CreateObject(call.Env(), std::move(mapping_));
    if (!mapping.IsEmpty() && !call.Env().IsExceptionPending()) call.Set("mapping", mapping);
  }

 private:
  std::vector<Mapping::Piece> pieces_;
  Held mapping_;
};

/** The mappings of an array of regions. Null: that element is no open region. */
std::vector<Held> ReadRegions(CallReader& reader) {
  const Napi::Value list = reader.Get("regions");
  std::vector<Held> regions(std::min(reader.LengthOf(list), kMaxPieces));
  for (uint32_t i = 0; i < regions.size(); i++) {
    regions[i] = Region::MappingOf(reader.env(), reader.At(list, i));
  }
  return regions;
}

}  // namespace

std::unique_ptr<NodeCall> ParseJoin(CallReader& reader) {
  const std::vector<Held> regions = ReadRegions(reader);
  std::vector<uint8_t> bytes;
  reader.CopyAll(reader.Get("pieces"), bytes, kMaxPieces * sizeof(PackedPiece));
  reader.Forget();
  const size_t count = bytes.size() / sizeof(PackedPiece);
  if (!reader.ok() || count == 0 || bytes.size() % sizeof(PackedPiece) != 0) return nullptr;
  std::vector<Mapping::Piece> pieces(count);
  uint64_t size = 0;
  for (size_t i = 0; i < count; i++) {
    PackedPiece packed;
    memcpy(&packed, bytes.data() + i * sizeof packed, sizeof packed);
    if (packed.region >= regions.size() || regions[packed.region] == nullptr) return nullptr;
    if (packed.length > kMaxSize - size) return nullptr;
    size += packed.length;
    pieces[i] = {regions[packed.region], packed.offset, packed.length};
  }
  return std::make_unique<JoinCall>(std::move(pieces));
}

std::shared_ptr<Mapping> LinearMappingOf(Napi::Env env, napi_value value) {
  const auto* held = static_cast<Held*>(UnwrapTagged(env, value, kLinearMappingTag));
  return held == nullptr ? nullptr : *held;
}

void ExportLinearMapping(Napi::Env env, Napi::Object exports) {
  exports.Set("linearMapping", Napi::Function::New<LinearMapping>(env, "linearMapping"));
}

}  // namespace vmb
