#pragma once

#include <napi.h>

namespace vmb {

/** Exports user and group: entries of the host's user database, found as nsswitch.conf says. */
void ExportAccount(Napi::Env env, Napi::Object exports);

}  // namespace vmb
