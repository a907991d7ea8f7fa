#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "mapping.h"

namespace vmb {

/** Bytes from the start of one window to the start of the next (Region in src/native.ts). */
constexpr uint64_t kWindowStride = uint64_t{1} << 30;
/** Bytes that a window shares with the next one. */
constexpr uint64_t kWindowOverlap = uint64_t{1} << 20;
/** Bytes. The largest ArrayBuffer of Node 20, the oldest release that is supported. */
constexpr uint64_t kMaxArrayBuffer = uint64_t{1} << 32;
static_assert(kWindowStride + kWindowOverlap <= kMaxArrayBuffer);

/**
 * The windows of a mapping, as JavaScript sees them: a frozen array of ArrayBuffers. Each is made when JavaScript asks
 * for it first, because V8 collects all garbage whenever it is given an ArrayBuffer of a gibibyte. The region and the
 * array share the list.
 */
class WindowList : public std::enable_shared_from_this<WindowList> {
 public:
  explicit WindowList(std::shared_ptr<Mapping> mapping);

  /** Makes the array, and the first window. Empty: Node has refused one of them. */
  Napi::Value Expose(Napi::Env env);
  /** Detaches every window that was made, and drops the mapping. A window that is asked for later is empty. */
  void Close(Napi::Env env);

 private:
  struct Entry {
    WindowList* list;
    Napi::ObjectReference window;
  };

  static napi_value Get(napi_env env, napi_callback_info info);
  /** Empty: Node has refused it. */
  Napi::Value At(Napi::Env env, Entry& entry);

  std::shared_ptr<Mapping> mapping_;
  std::vector<Entry> entries_;
};

}  // namespace vmb
