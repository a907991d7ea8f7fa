#include "region.h"

#include <errno.h>

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
  windows_ = std::make_shared<WindowList>(mapping_);
  const Napi::Value windows = windows_->Expose(env);
  if (windows.IsEmpty()) return false;
  const Napi::Value size = Napi::Number::New(env, static_cast<double>(mapping_->size()));
  const napi_property_descriptor properties[] = {
      {"size", nullptr, nullptr, nullptr, nullptr, size, napi_enumerable, nullptr},
      {"windows", nullptr, nullptr, nullptr, nullptr, windows, napi_enumerable, nullptr},
  };
  return napi_type_tag_object(env, self, &kRegionTag) == napi_ok &&
         napi_define_properties(env, self, 2, properties) == napi_ok;
}

void Region::Close(const Napi::CallbackInfo& info) {
  if (windows_ != nullptr) windows_->Close(info.Env());
  windows_.reset();
  mapping_.reset();
}

}  // namespace vmb
