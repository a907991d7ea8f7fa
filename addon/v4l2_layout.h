#pragma once

#include <napi.h>

namespace vmb {

/** layout. */
void ExportLayout(Napi::Env env, Napi::Object exports);

}  // namespace vmb
