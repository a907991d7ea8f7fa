#pragma once

#include <napi.h>

namespace vmb {

/** user, group: the host's user database, whatever it is made of (nsswitch.conf). */
void ExportAccount(Napi::Env env, Napi::Object exports);

}  // namespace vmb
