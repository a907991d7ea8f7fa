#pragma once

#include <napi.h>

#include <memory>

#include "guest_table.h"

namespace vmb {

/** The JavaScript class GuestMemory: what rings may access. The loop sets it whenever the memory table changes. */
class GuestMemoryObject : public Napi::ObjectWrap<GuestMemoryObject> {
 public:
  static void Export(Napi::Env env, Napi::Object exports);
  /** Null: the value is something else. */
  static std::shared_ptr<GuestMemory> MemoryOf(Napi::Env env, napi_value value);

  explicit GuestMemoryObject(const Napi::CallbackInfo& info);

 private:
  void Set(const Napi::CallbackInfo& info);

  std::shared_ptr<GuestMemory> memory_ = std::make_shared<GuestMemory>();
};

}  // namespace vmb
