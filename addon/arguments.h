#pragma once

#include <napi.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace vmb {

/** Whole, not negative, at most `maximum` and at most Number.MAX_SAFE_INTEGER. */
bool ToInteger(napi_env env, napi_value value, uint64_t maximum, uint64_t& into);

/** The bytes of a Uint8Array. They are valid until JavaScript runs again: it may detach or resize them. */
bool ToBytes(napi_env env, napi_value value, std::span<uint8_t>& into);

/** The descriptors of an array of at most `maximum` numbers. False: it is something else, or an exception is
 * pending. */
bool ToDescriptors(napi_env env, napi_value array, uint32_t maximum, std::vector<int>& into);

/** What an object with this tag wraps, else null. The tag says what it is: prototypes can be exchanged. */
void* UnwrapTagged(napi_env env, napi_value value, const napi_type_tag& tag);

/**
 * The arguments of a function that JavaScript called. The first one of the wrong kind throws a TypeError;
 * that one and all later ones read as empty. Nothing here runs JavaScript.
 */
class Arguments {
 public:
  Arguments(const Napi::CallbackInfo& info, const char* function) : info_(info), function_(function) {}

  bool ok() const { return ok_; }
  /** Any int32: what is no open descriptor gets EBADF from the kernel. */
  int Descriptor(size_t index);
  uint64_t Integer(size_t index, uint64_t maximum = UINT64_MAX);
  std::string Text(size_t index);
  Napi::Function Function(size_t index);
  Napi::Object Object(size_t index);
  std::span<uint8_t> Bytes(size_t index);
  /** Throws the TypeError "function: argument index + 1 must be <what>". */
  void Refuse(size_t index, const char* what);

 private:
  const Napi::CallbackInfo& info_;
  const char* function_;
  bool ok_ = true;
};

}  // namespace vmb
