#pragma once

#include <napi.h>

namespace vmb {

/** Exports sendDatagram. */
void ExportDatagram(Napi::Env env, Napi::Object exports);

}  // namespace vmb
