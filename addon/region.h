#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "mapping.h"

namespace vmb {

/** Bytes from the start of one window to the start of the next (Region in src/native.ts). */
constexpr uint64_t kWindowStride = uint64_t{1} << 30;
/** Bytes that a window shares with the next one. */
constexpr uint64_t kWindowOverlap = uint64_t{1} << 20;
/** Bytes. The largest ArrayBuffer of Node 20, the oldest release that is supported. */
constexpr uint64_t kMaxArrayBuffer = uint64_t{1} << 32;
static_assert(kWindowStride + kWindowOverlap <= kMaxArrayBuffer);

/** The JavaScript class Region: a mapping and its windows, the ArrayBuffers that JavaScript gets. */
class Region : public Napi::ObjectWrap<Region> {
 public:
  static void Export(Napi::Env env, Napi::Object exports);
  /** Makes a region over a mapping that C++ has made. Empty: it failed, with an exception pending. */
  static Napi::Value Create(Napi::Env env, std::shared_ptr<Mapping> mapping);
  /** The mapping of an open region. Null: the value is something else, or the region is closed. */
  static std::shared_ptr<Mapping> MappingOf(Napi::Env env, napi_value value);

  explicit Region(const Napi::CallbackInfo& info);

 private:
  std::shared_ptr<Mapping> Take(const Napi::CallbackInfo& info);
  bool ExposeWindows(Napi::Object self);
  void Close(const Napi::CallbackInfo& info);

  std::shared_ptr<Mapping> mapping_;
  std::vector<Napi::ObjectReference> windows_;
};

}  // namespace vmb
