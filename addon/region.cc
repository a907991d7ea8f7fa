#include "region.h"

#include <errno.h>

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "arguments.h"
#include "failure.h"

namespace vmb {

namespace {

constexpr napi_type_tag kRegionTag = {0x6d3b5e1f0c8a4d27, 0x9be1704f52c6a83e};

/** The data of one environment: the class, and the mapping that Create passes to the constructor. */
struct RegionData {
  Napi::FunctionReference constructor;
  std::shared_ptr<Mapping> handover;
};

/** What an ArrayBuffer holds: its own reference to the mapping, because the garbage collector may free the
 * region, its windows and their views in any order. */
struct WindowHold {
  std::shared_ptr<Mapping> mapping;
  /** Is set when the hold is deleted. Null: nobody wants to know. */
  bool* released;
};

void ReleaseWindow(napi_env, void*, void* hint) {
  auto* hold = static_cast<WindowHold*>(hint);
  if (hold->released != nullptr) *hold->released = true;
  delete hold;
}

/** Empty: the window could not be made. */
Napi::Value CreateWindow(Napi::Env env, const std::shared_ptr<Mapping>& mapping, uint64_t start) {
  const uint64_t length = std::min(mapping->size() - start, kWindowStride + kWindowOverlap);
  // If Node refuses the size, it runs the finalizer before it returns its error. After any other error the
  // finalizer never runs.
  bool released = false;
  auto* hold = new (std::nothrow) WindowHold{mapping, &released};
  if (hold == nullptr) return {};
  napi_value window;
  const napi_status status =
      napi_create_external_arraybuffer(env, mapping->data() + start, length, ReleaseWindow, hold, &window);
  if (status == napi_ok) {
    hold->released = nullptr;
    return {env, window};
  }
  if (!released) delete hold;
  return {};
}

}  // namespace

void Region::Export(Napi::Env env, Napi::Object exports) {
  const Napi::Function constructor = DefineClass(env, "Region", {InstanceMethod("close", &Region::Close)});
  auto* data = new RegionData{Napi::Persistent(constructor), nullptr};
  env.SetInstanceData(data);
  exports.Set("Region", constructor);
  exports.Set("WINDOW_STRIDE", Napi::Number::New(env, static_cast<double>(kWindowStride)));
  exports.Set("WINDOW_OVERLAP", Napi::Number::New(env, static_cast<double>(kWindowOverlap)));
}

Napi::Value Region::Create(Napi::Env env, std::shared_ptr<Mapping> mapping) {
  auto* data = env.GetInstanceData<RegionData>();
  data->handover = std::move(mapping);
  const Napi::Value region = data->constructor.New({});
  data->handover.reset();
  return region;
}

std::shared_ptr<Mapping> Region::MappingOf(Napi::Env env, napi_value value) {
  const auto* region = static_cast<Region*>(UnwrapTagged(env, value, kRegionTag));
  return region == nullptr ? nullptr : region->mapping_;
}

Region::Region(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Region>(info) {
  mapping_ = Take(info);
  if (mapping_ == nullptr) return;
  const Napi::Object self = info.This().As<Napi::Object>();
  if (!ExposeWindows(self)) ThrowErrno(info.Env(), "mmap", "", ENOMEM);
}

std::shared_ptr<Mapping> Region::Take(const Napi::CallbackInfo& info) {
  auto* data = info.Env().GetInstanceData<RegionData>();
  if (data->handover != nullptr) return std::exchange(data->handover, nullptr);
  Arguments arguments(info, "Region");
  const int fd = arguments.Descriptor(0);
  const uint64_t offset = arguments.Integer(1);
  const uint64_t size = arguments.Integer(2);
  if (!arguments.ok()) return nullptr;
  std::shared_ptr<Mapping> mapping = Mapping::Map(fd, offset, size, Mapping::Source::kMemory);
  if (mapping == nullptr) ThrowErrno(info.Env(), "mmap", "", errno);
  return mapping;
}

bool Region::ExposeWindows(Napi::Object self) {
  const Napi::Env env = self.Env();
  const Napi::Array windows = Napi::Array::New(env);
  for (uint64_t start = 0; start < mapping_->size(); start += kWindowStride) {
    const Napi::Value window = CreateWindow(env, mapping_, start);
    if (window.IsEmpty()) return false;
    windows_.push_back(Napi::Persistent(window.As<Napi::Object>()));
    if (napi_set_element(env, windows, windows_.size() - 1, window) != napi_ok) return false;
  }
  const Napi::Value size = Napi::Number::New(env, static_cast<double>(mapping_->size()));
  const napi_property_descriptor properties[] = {
      {"size", nullptr, nullptr, nullptr, nullptr, size, napi_enumerable, nullptr},
      {"windows", nullptr, nullptr, nullptr, nullptr, windows, napi_enumerable, nullptr},
  };
  return napi_object_freeze(env, windows) == napi_ok &&
         napi_type_tag_object(env, self, &kRegionTag) == napi_ok &&
         napi_define_properties(env, self, 2, properties) == napi_ok;
}

void Region::Close(const Napi::CallbackInfo& info) {
  for (const Napi::ObjectReference& window : windows_) {
    napi_detach_arraybuffer(info.Env(), window.Value());
  }
  windows_.clear();
  mapping_.reset();
}

}  // namespace vmb
