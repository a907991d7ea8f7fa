#include "call_reader.h"

#include <errno.h>
#include <fcntl.h>

#include <algorithm>

#include "arguments.h"

namespace vmb {

bool WriteBack(napi_env env, const CallBytes& copied) {
  std::span<uint8_t> now;
  if (!ToBytes(env, copied.array, now) || now.size() != copied.bytes.size()) return false;
  std::ranges::copy(copied.bytes, now.begin());
  return true;
}

Napi::Value CallReader::Get(const char* name) {
  napi_value value;
  if (ok_ && napi_get_named_property(env_, call_, name, &value) == napi_ok) return {env_, value};
  ok_ = false;
  return env_.Undefined();
}

Napi::Value CallReader::At(Napi::Value array, uint32_t index) {
  napi_value value;
  if (ok_ && napi_get_element(env_, array, index, &value) == napi_ok) return {env_, value};
  ok_ = false;
  return env_.Undefined();
}

uint32_t CallReader::LengthOf(Napi::Value array) {
  uint32_t length = 0;
  return ok_ && napi_get_array_length(env_, array, &length) == napi_ok ? length : 0;
}

std::string CallReader::Text(const char* name) {
  const Napi::Value value = Get(name);
  if (ok_ && value.IsString()) return value.As<Napi::String>().Utf8Value();
  ok_ = false;
  return {};
}

uint64_t CallReader::Integer(const char* name, uint64_t maximum) {
  const Napi::Value value = Get(name);
  uint64_t integer = 0;
  if (!ok_ || !ToInteger(env_, value, maximum, integer)) ok_ = false;
  return integer;
}

bool CallReader::Bytes(Napi::Value array, std::span<uint8_t>& bytes) {
  if (ok_ && ToBytes(env_, array, bytes)) return true;
  ok_ = false;
  return false;
}

void CallReader::Copy(Napi::Value array, std::span<uint8_t> into) {
  if (CopyUpTo(array, into) != into.size()) ok_ = false;
}

size_t CallReader::CopyUpTo(Napi::Value array, std::span<uint8_t> into) {
  std::span<uint8_t> bytes;
  if (!Bytes(array, bytes)) return 0;
  if (bytes.size() > into.size()) {
    ok_ = false;
    return 0;
  }
  std::ranges::copy(bytes, into.begin());
  copied_.push_back({array, into.first(bytes.size())});
  return bytes.size();
}

void CallReader::CopyAll(Napi::Value array, std::vector<uint8_t>& into, size_t maximum) {
  std::span<uint8_t> bytes;
  if (!Bytes(array, bytes)) return;
  if (bytes.size() > maximum) {
    ok_ = false;
    return;
  }
  into.assign(bytes.begin(), bytes.end());
  copied_.push_back({array, into});
}

int CallReader::Borrow(Napi::Value number, UniqueFd& into) {
  uint64_t fd = 0;
  if (!ok_ || !ToInteger(env_, number, INT32_MAX, fd)) {
    ok_ = false;
    return EINVAL;
  }
  into.Reset(fcntl(static_cast<int>(fd), F_DUPFD_CLOEXEC, 0));
  return into ? 0 : errno;
}

}  // namespace vmb
