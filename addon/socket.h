#pragma once

#include <napi.h>

namespace vmb {

/** Exports listen, connect, socketPair, accept, peerCredentials, receive, send and unreadBytes. */
void ExportSocket(Napi::Env env, Napi::Object exports);

}  // namespace vmb
