#pragma once

#include <napi.h>

#include <initializer_list>

namespace vmb {

/**
 * Calls a function from the event loop, then runs microtasks. What it throws is an uncaught exception, as
 * with a timer. Does nothing where the environment can no longer run JavaScript.
 */
void CallFromLoop(Napi::Env env, napi_value function, std::initializer_list<napi_value> arguments);

}  // namespace vmb
