#pragma once

#include <napi.h>

namespace vmb {

/** Exports layout. */
void ExportLayout(Napi::Env env, Napi::Object exports);

}  // namespace vmb
