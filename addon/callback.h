#pragma once

#include <napi.h>

#include <initializer_list>

namespace vmb {

/**
 * Calls a function from the event loop, then runs microtasks. If the function throws, that is an uncaught
 * exception, as for a timer. Does nothing if the environment can no longer run JavaScript.
 */
void CallFromLoop(Napi::Env env, napi_value function, std::initializer_list<napi_value> arguments);

}  // namespace vmb
