#pragma once

#include <napi.h>

namespace vmb {

/** Exports become, clearCapabilities, dropBoundingSet, execute, noNewPrivileges, shareNoNewPrivileges and
 * undumpable. */
void ExportPrivileges(Napi::Env env, Napi::Object exports);

}  // namespace vmb
