#pragma once

#include <napi.h>

namespace vmb {

/** memoryFile, punchHole. */
void ExportMemoryFile(Napi::Env env, Napi::Object exports);

}  // namespace vmb
