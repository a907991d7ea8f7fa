#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "mapping.h"

namespace vmb {

constexpr uint64_t kWindowStride = uint64_t{1} << 30;
constexpr uint64_t kWindowOverlap = uint64_t{1} << 20;

/** The JavaScript class Region. */
class Region : public Napi::ObjectWrap<Region> {
 public:
  static void Export(Napi::Env env, Napi::Object exports);
  /** A region over a mapping that C++ made. Empty with an exception pending where it fails. */
  static Napi::Value Create(Napi::Env env, std::shared_ptr<Mapping> mapping);
  /** The mapping of a value that is an open region, else null. */
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
