#pragma once

#include <napi.h>

namespace vmb {

/** Exports eventFd, isEventFd, drain and signal. */
void ExportEventFd(Napi::Env env, Napi::Object exports);

}  // namespace vmb
