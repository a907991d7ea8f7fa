#pragma once

#include <napi.h>

#include <memory>

#include "frame_plan.h"

namespace vmb {

/**
 * Reads a plan: the eventq (a Ring), packed numbers (SharedFile.plan of native-ring.ts), and the regions that they name.
 * Null: an argument is malformed, and a TypeError is pending.
 */
std::unique_ptr<FramePlan> ReadPlan(const Napi::CallbackInfo& info);

/** What has happened under a plan: of each queue the queued buffers and the last frame or null; events that were not
 * sent. */
Napi::Value PlanResult(Napi::Env env, const FramePlan& plan);

}  // namespace vmb
