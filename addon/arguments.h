#pragma once

#include <napi.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace vmb {

/** Reads a whole number from 0 to `maximum`, at most Number.MAX_SAFE_INTEGER. False: it is something else. */
bool ToInteger(napi_env env, napi_value value, uint64_t maximum, uint64_t& into);

/** The bytes of a Uint8Array. They are valid until JavaScript runs again, because it may detach or resize the
 * array. False: the value is no Uint8Array. */
bool ToBytes(napi_env env, napi_value value, std::span<uint8_t>& into);

/** The descriptors of an array of at most `maximum` numbers. False: the value is something else, or an
 * exception is pending. */
bool ToDescriptors(napi_env env, napi_value array, uint32_t maximum, std::vector<int>& into);

/** The native object that a JavaScript object with this tag wraps. Null: the value does not have the tag. The
 * tag proves the type; a prototype would not, because JavaScript can exchange it. */
void* UnwrapTagged(napi_env env, napi_value value, const napi_type_tag& tag);

/**
 * The arguments of a function that JavaScript called. The first argument of the wrong kind throws a
 * TypeError. That argument and all later ones then read as empty. Nothing here runs JavaScript.
 */
class Arguments {
 public:
  Arguments(const Napi::CallbackInfo& info, const char* function) : info_(info), function_(function) {}

  bool ok() const { return ok_; }
  /** Any int32. If it is no open descriptor, the kernel answers EBADF. */
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
