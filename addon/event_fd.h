#pragma once

#include <napi.h>

namespace vmb {

/** eventFd, isEventFd, drain, signal. */
void ExportEventFd(Napi::Env env, Napi::Object exports);

}  // namespace vmb
