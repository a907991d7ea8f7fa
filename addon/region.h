#pragma once

#include <napi.h>

#include <memory>

#include "mapping.h"
#include "window_list.h"

namespace vmb {

/** The JavaScript class Region: a mapping and its windows. */
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
  std::shared_ptr<WindowList> windows_;
};

}  // namespace vmb
