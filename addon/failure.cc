#include "failure.h"

#include <uv.h>

namespace vmb {

Napi::Value ThrowErrno(Napi::Env env, const char* syscall, const std::string& subject, int error) {
  char code[64];
  char text[128];
  uv_err_name_r(-error, code, sizeof code);
  uv_strerror_r(-error, text, sizeof text);
  const std::string what = subject.empty() ? std::string(syscall) : std::string(syscall) + " " + subject;
  const Napi::Error failure = Napi::Error::New(env, what + ": " + code + " (" + text + ")");
  if (env.IsExceptionPending()) return env.Undefined();
  Napi::Object value = failure.Value();
  value.Set("code", Napi::String::New(env, code));
  value.Set("errno", Napi::Number::New(env, error));
  value.Set("syscall", Napi::String::New(env, syscall));
  failure.ThrowAsJavaScriptException();
  return env.Undefined();
}

}  // namespace vmb
