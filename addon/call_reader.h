#pragma once

#include <napi.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "unique_fd.h"

namespace vmb {

/** A private copy of bytes of a call, and the Uint8Array that they come from and are written back to. */
struct CallBytes {
  napi_value array;
  std::span<uint8_t> bytes;
};

template <typename Record>
std::span<uint8_t> BytesOf(Record& record) {
  return {reinterpret_cast<uint8_t*>(&record), sizeof record};
}

/** Copies the bytes back into their array. False: the array was detached, or its length has changed. */
bool WriteBack(napi_env env, const CallBytes& copied);

/**
 * Reads a call object. It reads each property once and copies byte arrays at once, because a property may be
 * an accessor, and an accessor may do anything. After the first value that does not fit, all read as empty.
 */
class CallReader {
 public:
  explicit CallReader(Napi::Value call) : env_(call.Env()), call_(call), ok_(call.IsObject()) {}

  bool ok() const { return ok_; }
  Napi::Env env() const { return env_; }
  Napi::Value call() const { return call_; }

  std::string Text(const char* name);
  uint64_t Integer(const char* name, uint64_t maximum = UINT64_MAX);
  /** Undefined: there is no property of this name. */
  Napi::Value Get(const char* name);
  /** An element of an array. Undefined: the index is behind the end. */
  Napi::Value At(Napi::Value array, uint32_t index);
  /** 0: the value is no array. */
  uint32_t LengthOf(Napi::Value array);

  /** Copies a Uint8Array, which must have exactly as many bytes as `into`. */
  void Copy(Napi::Value array, std::span<uint8_t> into);
  /** Copies a Uint8Array of at most as many bytes as `into`. Returns how many. */
  size_t CopyUpTo(Napi::Value array, std::span<uint8_t> into);
  /** Copies a Uint8Array of at most `maximum` bytes. `into` must not be resized afterwards, because copied()
   * refers to its memory. */
  void CopyAll(Napi::Value array, std::vector<uint8_t>& into, size_t maximum);

  /**
   * Duplicates a descriptor that stays the caller's, because the caller may close it before the lane runs the
   * call. Returns an errno.
   */
  int Borrow(Napi::Value number, UniqueFd& into);

  /** Bytes that were copied until now are not written back. */
  void Forget() { copied_.clear(); }
  const std::vector<CallBytes>& copied() const { return copied_; }

 private:
  bool Bytes(Napi::Value array, std::span<uint8_t>& bytes);

  Napi::Env env_;
  Napi::Value call_;
  std::vector<CallBytes> copied_;
  bool ok_;
};

}  // namespace vmb
