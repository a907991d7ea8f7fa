#pragma once

#include <napi.h>

#include <memory>

#include "frame_plan.h"

namespace vmb {

/**
 * Reads a plan: the eventq (a Ring), packed numbers (native-ring.ts, PlanNumbers), the regions that they name, and the
 * indices of the queued buffers. Null: an argument is malformed, and a TypeError is pending.
 */
std::unique_ptr<FramePlan> ReadPlan(const Napi::CallbackInfo& info);

/** What has happened under a plan: the queued buffers, the last frame or null, and events that were not sent. */
Napi::Value PlanResult(Napi::Env env, const FramePlan& plan);

}  // namespace vmb
