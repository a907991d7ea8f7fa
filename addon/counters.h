#pragma once

#include <napi.h>

#include <memory>

#include "command_counters.h"
#include "frame_counters.h"

namespace vmb {

/** The JavaScript class FrameCounters. */
class FrameCountersObject : public Napi::ObjectWrap<FrameCountersObject> {
 public:
  /** Exports the bounds of histograms too. */
  static void Export(Napi::Env env, Napi::Object exports);
  /** Null: the value is something else. */
  static std::shared_ptr<FrameCounters> CoreOf(Napi::Env env, napi_value value);

  explicit FrameCountersObject(const Napi::CallbackInfo& info);

 private:
  void Count(const Napi::CallbackInfo& info);
  void Restart(const Napi::CallbackInfo& info);
  Napi::Value Read(const Napi::CallbackInfo& info);

  std::shared_ptr<FrameCounters> core_ = std::make_shared<FrameCounters>();
};

/** A row for each kind of command that came (NativeCommandTable.counters of native-ring.ts). */
Napi::Value CommandRows(Napi::Env env, const CommandCounters& counters);
/** The last failure: kind, errno, milliseconds since. undefined: there was none. */
Napi::Value LastFailure(Napi::Env env, const CommandCounters& counters);

}  // namespace vmb
