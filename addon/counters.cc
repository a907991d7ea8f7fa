#include "counters.h"

#include <cstring>
#include <limits>
#include <vector>

#include "arguments.h"

namespace vmb {

namespace {

constexpr napi_type_tag kCountersTag = {0x4cf0a51be7d84c0d, 0x9f3b6d70412e8ac7};

Napi::Value NumbersOf(Napi::Env env, const std::vector<double>& numbers) {
  Napi::Float64Array array = Napi::Float64Array::New(env, numbers.size());
  if (!numbers.empty()) std::memcpy(array.Data(), numbers.data(), numbers.size() * sizeof(double));
  return array;
}

/** Microseconds of all, then the buckets. */
void Append(std::vector<double>& numbers, const Histogram& histogram) {
  numbers.push_back(static_cast<double>(histogram.sum()));
  for (size_t i = 0; i < Histogram::kBuckets; i++) numbers.push_back(static_cast<double>(histogram.bucket(i)));
}

Napi::Value HistogramBounds(const Napi::CallbackInfo& info) {
  std::vector<double> bounds;
  for (size_t i = 0; i + 1 < Histogram::kBuckets; i++) bounds.push_back(static_cast<double>(Histogram::BoundOf(i)));
  bounds.push_back(std::numeric_limits<double>::infinity());
  return NumbersOf(info.Env(), bounds);
}

}  // namespace

void FrameCountersObject::Export(Napi::Env env, Napi::Object exports) {
  exports.Set("FrameCounters", DefineClass(env, "FrameCounters",
                                           {InstanceMethod("count", &FrameCountersObject::Count),
                                            InstanceMethod("restart", &FrameCountersObject::Restart),
                                            InstanceMethod("read", &FrameCountersObject::Read)}));
  exports.Set("histogramBounds", Napi::Function::New<HistogramBounds>(env, "histogramBounds"));
}

std::shared_ptr<FrameCounters> FrameCountersObject::CoreOf(Napi::Env env, napi_value value) {
  const auto* object = static_cast<FrameCountersObject*>(UnwrapTagged(env, value, kCountersTag));
  return object == nullptr ? nullptr : object->core_;
}

FrameCountersObject::FrameCountersObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<FrameCountersObject>(info) {
  napi_type_tag_object(info.Env(), info.This(), &kCountersTag);
}

/** Arguments: a v4l2_buffer, and its planes if it is multi-planar. The loop has the file. */
void FrameCountersObject::Count(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "count");
  const auto record = arguments.Bytes(0);
  const auto rest = info[1].IsUndefined() ? std::span<uint8_t>{} : arguments.Bytes(1);
  if (!arguments.ok()) return;
  v4l2_buffer frame;
  if (record.size() != sizeof frame) return arguments.Refuse(0, "a v4l2_buffer");
  if (rest.size() % sizeof(v4l2_plane) != 0) return arguments.Refuse(1, "the planes of a buffer");
  std::memcpy(&frame, record.data(), sizeof frame);
  std::vector<v4l2_plane> planes(rest.size() / sizeof(v4l2_plane));
  if (!planes.empty()) std::memcpy(planes.data(), rest.data(), rest.size());
  core_->Count(frame, planes);
}

void FrameCountersObject::Restart(const Napi::CallbackInfo&) { core_->Restart(); }

/** frames, bytes, lost, damaged, queued, then the histogram of latencies. */
Napi::Value FrameCountersObject::Read(const Napi::CallbackInfo& info) {
  const auto [frames, bytes, lost, damaged, queued] = core_->numbers();
  std::vector<double> numbers = {static_cast<double>(frames), static_cast<double>(bytes), static_cast<double>(lost),
                                 static_cast<double>(damaged), static_cast<double>(queued)};
  Append(numbers, core_->latency());
  return NumbersOf(info.Env(), numbers);
}

Napi::Value CommandRows(Napi::Env env, const CommandCounters& counters) {
  const Napi::Array rows = Napi::Array::New(env);
  for (uint32_t number = 0; number < CommandCounters::kKinds; number++) {
    const CommandCounters::Kind* kind = counters.Find(number);
    if (kind == nullptr) continue;
    std::vector<double> numbers = {static_cast<double>(number),
                                   static_cast<double>(kind->errors.load(std::memory_order_relaxed)),
                                   static_cast<double>(kind->last_error.load(std::memory_order_relaxed))};
    Append(numbers, kind->time);
    rows.Set(rows.Length(), NumbersOf(env, numbers));
  }
  return rows;
}

Napi::Value LastFailure(Napi::Env env, const CommandCounters& counters) {
  const auto failure = counters.last_failure();
  if (!failure) return env.Undefined();
  const Napi::Array result = Napi::Array::New(env, 3);
  result.Set(0u, Napi::Number::New(env, failure->kind));
  result.Set(1u, Napi::Number::New(env, failure->error));
  result.Set(2u, Napi::Number::New(env, static_cast<double>(NowMicroseconds() - failure->at) / 1000));
  return result;
}

}  // namespace vmb
