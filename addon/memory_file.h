#pragma once

#include <napi.h>

namespace vmb {

/** Exports memoryFile and punchHole. */
void ExportMemoryFile(Napi::Env env, Napi::Object exports);

}  // namespace vmb
