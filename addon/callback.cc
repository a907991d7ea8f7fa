#include "callback.h"

#include <node_api.h>

namespace vmb {

void CallFromLoop(Napi::Env env, napi_value function, std::initializer_list<napi_value> arguments) {
  napi_value global;
  if (napi_get_global(env, &global) != napi_ok) return;
  napi_make_callback(env, nullptr, global, function, arguments.size(), arguments.begin(), nullptr);
  // No JavaScript is below us that could catch: left pending, the exception would surface in an unrelated
  // call.
  bool pending = false;
  napi_value error;
  if (napi_is_exception_pending(env, &pending) != napi_ok || !pending) return;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
}

}  // namespace vmb
