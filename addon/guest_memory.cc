#include "guest_memory.h"

#include <utility>
#include <vector>

#include "arguments.h"
#include "region.h"

namespace vmb {

namespace {

constexpr napi_type_tag kMemoryTag = {0x2c1f9a6be0d34785, 0xb7a05e8d3f6214c9};
/** The front-end's table has at most so many regions (MAX_REGIONS of guest-memory.ts). */
constexpr uint32_t kMaxRegions = 512;

}  // namespace

void GuestMemoryObject::Export(Napi::Env env, Napi::Object exports) {
  exports.Set("GuestMemory",
              DefineClass(env, "GuestMemory", {InstanceMethod("set", &GuestMemoryObject::Set)}));
}

std::shared_ptr<GuestMemory> GuestMemoryObject::MemoryOf(Napi::Env env, napi_value value) {
  const auto* object = static_cast<GuestMemoryObject*>(UnwrapTagged(env, value, kMemoryTag));
  return object == nullptr ? nullptr : object->memory_;
}

GuestMemoryObject::GuestMemoryObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<GuestMemoryObject>(info) {
  napi_type_tag_object(info.Env(), info.This(), &kMemoryTag);
}

/** Arguments: guest addresses, in order, and the region of each. The regions do not overlap. */
void GuestMemoryObject::Set(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "set");
  const Napi::Object addresses = arguments.Object(0);
  const Napi::Object regions = arguments.Object(1);
  if (!arguments.ok()) return;
  uint32_t length = 0;
  uint32_t others = 0;
  const bool listed = napi_get_array_length(info.Env(), addresses, &length) == napi_ok &&
                      napi_get_array_length(info.Env(), regions, &others) == napi_ok;
  if (!listed || length > kMaxRegions || length != others) return arguments.Refuse(0, "two arrays of one length");
  std::vector<GuestTable::Region> table;
  uint64_t end = 0;
  for (uint32_t i = 0; i < length; i++) {
    uint64_t address = 0;
    napi_value element;
    if (napi_get_element(info.Env(), addresses, i, &element) != napi_ok ||
        !ToInteger(info.Env(), element, UINT64_MAX, address) || address < end)
      return arguments.Refuse(0, "an array of ascending addresses");
    if (napi_get_element(info.Env(), regions, i, &element) != napi_ok) return;
    std::shared_ptr<Mapping> mapping = Region::MappingOf(info.Env(), element);
    if (mapping == nullptr) return arguments.Refuse(1, "an array of open regions");
    end = address + mapping->size();
    table.push_back({address, std::move(mapping)});
  }
  memory_->Set(GuestTable(std::move(table)));
}

}  // namespace vmb
