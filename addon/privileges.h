#pragma once

#include <napi.h>

namespace vmb {

/** become, clearCapabilities, dropBoundingSet, execute, noNewPrivileges, shareNoNewPrivileges, undumpable. */
void ExportPrivileges(Napi::Env env, Napi::Object exports);

}  // namespace vmb
