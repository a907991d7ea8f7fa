#pragma once

#include <napi.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "unique_fd.h"

namespace vmb {

/** Bytes of a call, and the Uint8Array that they came from and go back to. */
struct CallBytes {
  napi_value array;
  std::span<uint8_t> bytes;
};

template <typename Record>
std::span<uint8_t> BytesOf(Record& record) {
  return {reinterpret_cast<uint8_t*>(&record), sizeof record};
}

/** Copies the bytes back. False: the array has been detached or has another length now. */
bool WriteBack(napi_env env, const CallBytes& copied);

/**
 * Reads a call object. Each property is read once and byte arrays are copied at once: properties may be
 * accessors, and those may do anything. After the first that does not fit, everything reads as empty.
 */
class CallReader {
 public:
  explicit CallReader(Napi::Value call) : env_(call.Env()), call_(call), ok_(call.IsObject()) {}

  bool ok() const { return ok_; }
  Napi::Env env() const { return env_; }
  Napi::Value call() const { return call_; }

  std::string Text(const char* name);
  uint64_t Integer(const char* name, uint64_t maximum = UINT64_MAX);
  /** Undefined where there is none. */
  Napi::Value Get(const char* name);
  /** Element of an array; undefined behind its end. */
  Napi::Value At(Napi::Value array, uint32_t index);
  /** 0 for what is no array. */
  uint32_t LengthOf(Napi::Value array);

  /** A Uint8Array of exactly this many bytes. */
  void Copy(Napi::Value array, std::span<uint8_t> into);
  /** A Uint8Array of at most this many bytes; returns how many. */
  size_t CopyUpTo(Napi::Value array, std::span<uint8_t> into);
  /** A Uint8Array; `into` must not be resized afterwards. */
  void CopyAll(Napi::Value array, std::vector<uint8_t>& into, size_t maximum);

  /**
   * Duplicates a descriptor that stays the caller's: that one may be closed before the lane gets there.
   * Returns an errno.
   */
  int Borrow(Napi::Value number, UniqueFd& into);

  /** Nothing goes back. */
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
