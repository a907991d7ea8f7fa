#pragma once

#include <napi.h>

#include <string>

namespace vmb {

/**
 * Throws an Error like those of Node: with the message "listen /run/x.sock: EADDRINUSE (address already in
 * use)", `code`, a positive `errno` and `syscall`. Returns undefined, for `return ThrowErrno(...)`.
 */
Napi::Value ThrowErrno(Napi::Env env, const char* syscall, const std::string& subject, int error);

}  // namespace vmb
