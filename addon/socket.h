#pragma once

#include <napi.h>

namespace vmb {

/** listen, connect, socketPair, accept, peerCredentials, receive, send. */
void ExportSocket(Napi::Env env, Napi::Object exports);

}  // namespace vmb
