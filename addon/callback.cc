#include "callback.h"

#include <node_api.h>

namespace vmb {

void CallFromLoop(Napi::Env env, napi_value function, std::initializer_list<napi_value> arguments) {
  napi_value global;
  if (napi_get_global(env, &global) != napi_ok) return;
  napi_make_callback(env, nullptr, global, function, arguments.size(), arguments.begin(), nullptr);
  // No JavaScript function below us on the stack can catch the exception. If it stayed pending, an unrelated
  // call would report it.
  bool pending = false;
  napi_value error;
  if (napi_is_exception_pending(env, &pending) != napi_ok || !pending) return;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
}

}  // namespace vmb
