#include "arguments.h"

#include <cmath>

namespace vmb {

namespace {
constexpr double kMaxSafeInteger = 9007199254740991.0;
}

bool ToInteger(napi_env env, napi_value value, uint64_t maximum, uint64_t& into) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) return false;
  // The comparison is false for NaN.
  if (!(number >= 0 && number <= kMaxSafeInteger) || std::trunc(number) != number) return false;
  if (static_cast<uint64_t>(number) > maximum) return false;
  into = static_cast<uint64_t>(number);
  return true;
}

bool ToBytes(napi_env env, napi_value value, std::span<uint8_t>& into) {
  bool typed = false;
  if (napi_is_typedarray(env, value, &typed) != napi_ok || !typed) return false;
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok) return false;
  if (type != napi_uint8_array) return false;
  into = data == nullptr ? std::span<uint8_t>() : std::span(static_cast<uint8_t*>(data), length);
  return true;
}

bool ToDescriptors(napi_env env, napi_value array, uint32_t maximum, std::vector<int>& into) {
  uint32_t length = 0;
  if (napi_get_array_length(env, array, &length) != napi_ok || length > maximum) return false;
  for (uint32_t i = 0; i < length; i++) {
    napi_value element;
    uint64_t fd = 0;
    if (napi_get_element(env, array, i, &element) != napi_ok || !ToInteger(env, element, INT32_MAX, fd))
      return false;
    into.push_back(static_cast<int>(fd));
  }
  return true;
}

void* UnwrapTagged(napi_env env, napi_value value, const napi_type_tag& tag) {
  bool tagged = false;
  void* wrapped = nullptr;
  // napi_check_object_type_tag would throw for undefined and null.
  if (!Napi::Value(env, value).IsObject()) return nullptr;
  if (napi_check_object_type_tag(env, value, &tag, &tagged) != napi_ok || !tagged) return nullptr;
  return napi_unwrap(env, value, &wrapped) == napi_ok ? wrapped : nullptr;
}

void Arguments::Refuse(size_t index, const char* what) {
  if (!ok_) return;
  ok_ = false;
  std::string message = function_;
  message += ": argument ";
  message += std::to_string(index + 1);
  message += " must be ";
  message += what;
  Napi::TypeError::New(info_.Env(), message).ThrowAsJavaScriptException();
}

int Arguments::Descriptor(size_t index) {
  double number = 0;
  const bool read = ok_ && napi_get_value_double(info_.Env(), info_[index], &number) == napi_ok;
  if (read && number >= INT32_MIN && number <= INT32_MAX && std::trunc(number) == number) {
    return static_cast<int>(number);
  }
  Refuse(index, "a descriptor");
  return -1;
}

uint64_t Arguments::Integer(size_t index, uint64_t maximum) {
  uint64_t value = 0;
  if (!ok_ || !ToInteger(info_.Env(), info_[index], maximum, value)) Refuse(index, "a whole number in range");
  return value;
}

std::string Arguments::Text(size_t index) {
  if (ok_ && info_[index].IsString()) return info_[index].As<Napi::String>().Utf8Value();
  Refuse(index, "a string");
  return {};
}

Napi::Function Arguments::Function(size_t index) {
  if (ok_ && info_[index].IsFunction()) return info_[index].As<Napi::Function>();
  Refuse(index, "a function");
  return {};
}

Napi::Object Arguments::Object(size_t index) {
  if (ok_ && info_[index].IsObject()) return info_[index].As<Napi::Object>();
  Refuse(index, "an object");
  return {};
}

std::span<uint8_t> Arguments::Bytes(size_t index) {
  std::span<uint8_t> bytes;
  if (!ok_ || !ToBytes(info_.Env(), info_[index], bytes)) Refuse(index, "a Uint8Array");
  return bytes;
}

}  // namespace vmb
