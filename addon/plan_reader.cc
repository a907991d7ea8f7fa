#include "plan_reader.h"

#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "arguments.h"
#include "region.h"
#include "ring.h"

namespace vmb {

namespace {

/** Takes 32-bit numbers from a packed array, one after the other. */
class Numbers {
 public:
  explicit Numbers(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  bool ok() const { return ok_; }

  uint32_t Take() {
    uint32_t number = 0;
    ok_ = ok_ && bytes_.size() >= sizeof number;
    if (!ok_) return 0;
    std::memcpy(&number, bytes_.data(), sizeof number);
    bytes_ = bytes_.subspan(sizeof number);
    return number;
  }

 private:
  std::span<const uint8_t> bytes_;
  bool ok_ = true;
};

std::optional<FramePlan::Plane> ReadPlane(Numbers& numbers, const std::vector<std::shared_ptr<Mapping>>& regions,
                                          bool takes_memory) {
  FramePlan::Plane plane;
  plane.length = numbers.Take();
  plane.mmap_offset = numbers.Take();
  const uint32_t region = numbers.Take();
  const uint64_t low = numbers.Take();
  plane.at = uint64_t{numbers.Take()} << 32 | low;
  // A USERPTR queue needs memory, and no other queue may have any.
  if (!numbers.ok() || region > regions.size() || takes_memory != (region > 0)) return std::nullopt;
  if (region == 0) return plane;
  plane.memory = regions[region - 1];
  if (!plane.memory->Contains(plane.at, plane.length)) return std::nullopt;
  return plane;
}

bool ReadBuffers(Numbers& numbers, const std::vector<std::shared_ptr<Mapping>>& regions, FramePlan::Queue& queue) {
  const uint32_t count = numbers.Take();
  if (count > FramePlan::kMaxBuffers) return false;
  for (uint32_t index = 0; index < count; index++) {
    FramePlan::Buffer buffer;
    buffer.mapped = numbers.Take() != 0;
    const uint32_t planes = numbers.Take();
    if (planes > VIDEO_MAX_PLANES || (planes > 1 && !queue.is_multiplanar())) return false;
    for (uint32_t i = 0; i < planes; i++) {
      auto plane = ReadPlane(numbers, regions, queue.host_memory == V4L2_MEMORY_USERPTR);
      if (!plane) return false;
      buffer.planes.push_back(*std::move(plane));
    }
    queue.buffers.push_back(std::move(buffer));
  }
  return numbers.ok();
}

bool ReadQueue(Numbers& numbers, const std::vector<std::shared_ptr<Mapping>>& regions, FramePlan::Options& options) {
  FramePlan::Queue queue;
  queue.type = numbers.Take();
  queue.guest_memory = numbers.Take();
  queue.host_memory = numbers.Take();
  queue.guest_flags = numbers.Take() & ~uint32_t{V4L2_BUF_FLAG_REQUEST_FD};
  const bool memory = queue.host_memory == V4L2_MEMORY_MMAP || queue.host_memory == V4L2_MEMORY_USERPTR;
  if (!memory || !ReadBuffers(numbers, regions, queue)) return false;
  const uint32_t queued = numbers.Take();
  for (uint32_t i = 0; i < queued && numbers.ok(); i++) {
    const uint32_t index = numbers.Take();
    if (index >= queue.buffers.size()) return false;
    queue.queued.push_back(static_cast<uint8_t>(index));
  }
  options.queues.push_back(std::move(queue));
  return numbers.ok();
}

bool ReadRegions(Napi::Env env, napi_value list, std::vector<std::shared_ptr<Mapping>>& into) {
  uint32_t length = 0;
  if (napi_get_array_length(env, list, &length) != napi_ok || length > FramePlan::kMaxBuffers * VIDEO_MAX_PLANES)
    return false;
  for (uint32_t i = 0; i < length; i++) {
    napi_value element;
    if (napi_get_element(env, list, i, &element) != napi_ok) return false;
    into.push_back(Region::MappingOf(env, element));
    if (into.back() == nullptr) return false;
  }
  return true;
}

}  // namespace

std::unique_ptr<FramePlan> ReadPlan(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "plan");
  const Napi::Object ring = arguments.Object(0);
  const auto packed = arguments.Bytes(1);
  const Napi::Object list = arguments.Object(2);
  if (!arguments.ok()) return nullptr;
  FramePlan::Options options;
  options.events = Ring::CoreOf(info.Env(), ring);
  std::vector<std::shared_ptr<Mapping>> regions;
  if (options.events == nullptr) arguments.Refuse(0, "a Ring");
  if (arguments.ok() && !ReadRegions(info.Env(), list, regions)) arguments.Refuse(2, "an array of regions");
  Numbers numbers(packed);
  options.session = numbers.Take();
  options.subscribed = numbers.Take() != 0;
  const uint32_t queues = numbers.Take();
  bool good = queues > 0 && queues <= FramePlan::kMaxQueues;
  for (uint32_t i = 0; i < queues && good; i++) good = ReadQueue(numbers, regions, options);
  if (!good) arguments.Refuse(1, "the numbers of a plan");
  if (!arguments.ok()) return nullptr;
  return std::make_unique<FramePlan>(std::move(options));
}

Napi::Value PlanResult(Napi::Env env, const FramePlan& plan) {
  const auto copy = [&](const void* from, size_t size) -> Napi::Value {
    return Napi::Buffer<uint8_t>::Copy(env, static_cast<const uint8_t*>(from), size);
  };
  const Napi::Array queues = Napi::Array::New(env);
  for (const FramePlan::Queue& queue : plan.options().queues) {
    const Napi::Array each = Napi::Array::New(env, 2);
    each.Set(0u, copy(queue.queued.data(), queue.queued.size()));
    each.Set(1u, queue.has_last_frame ? copy(&queue.last_frame, sizeof queue.last_frame) : env.Null());
    queues.Set(queues.Length(), each);
  }
  const Napi::Array untold = Napi::Array::New(env);
  for (const FramePlan::Event& event : plan.untold()) untold.Set(untold.Length(), copy(event.data(), event.size()));
  const Napi::Array result = Napi::Array::New(env, 2);
  result.Set(0u, queues);
  result.Set(1u, untold);
  return result;
}

}  // namespace vmb
