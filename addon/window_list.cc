#include "window_list.h"

#include <errno.h>

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "failure.h"

namespace vmb {

namespace {

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

void ReleaseList(napi_env, void* list, void*) { delete static_cast<std::shared_ptr<WindowList>*>(list); }

}  // namespace

WindowList::WindowList(std::shared_ptr<Mapping> mapping) : mapping_(std::move(mapping)) {
  entries_.resize((mapping_->size() + kWindowStride - 1) / kWindowStride);
  for (Entry& entry : entries_) entry.list = this;
}

Napi::Value WindowList::Expose(Napi::Env env) {
  if (At(env, entries_.front()).IsEmpty()) return {};
  const Napi::Array array = Napi::Array::New(env);
  for (size_t index = 0; index < entries_.size(); index++) {
    const Napi::Value name = Napi::String::New(env, std::to_string(index));
    const napi_property_descriptor element{nullptr, name,          nullptr, Get, nullptr,
                                           nullptr, napi_enumerable, &entries_[index]};
    if (napi_define_properties(env, array, 1, &element) != napi_ok) return {};
  }
  if (napi_object_freeze(env, array) != napi_ok) return {};
  auto list = std::make_unique<std::shared_ptr<WindowList>>(shared_from_this());
  if (napi_add_finalizer(env, array, list.get(), ReleaseList, nullptr, nullptr) != napi_ok) return {};
  list.release();
  return array;
}

void WindowList::Close(Napi::Env env) {
  for (Entry& entry : entries_) {
    if (!entry.window.IsEmpty()) napi_detach_arraybuffer(env, entry.window.Value());
  }
  mapping_.reset();
}

napi_value WindowList::Get(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  if (napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data) != napi_ok) return nullptr;
  auto* entry = static_cast<Entry*>(data);
  const Napi::Value window = entry->list->At(env, *entry);
  return window.IsEmpty() ? napi_value(ThrowErrno(env, "mmap", "", ENOMEM)) : napi_value(window);
}

Napi::Value WindowList::At(Napi::Env env, Entry& entry) {
  if (!entry.window.IsEmpty()) return entry.window.Value();
  const uint64_t start = (&entry - entries_.data()) * kWindowStride;
  const Napi::Value window =
      mapping_ == nullptr ? Napi::Value(Napi::ArrayBuffer::New(env, 0)) : CreateWindow(env, mapping_, start);
  if (!window.IsEmpty()) entry.window = Napi::Persistent(window.As<Napi::Object>());
  return window;
}

}  // namespace vmb
