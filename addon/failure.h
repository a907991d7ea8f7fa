#pragma once

#include <napi.h>

#include <string>

namespace vmb {

/**
 * Throws an Error in the form of Node's own: the message "listen /run/x.sock: EADDRINUSE (address already
 * in use)", `code`, a positive `errno`, and `syscall`. Returns undefined, for `return Throw(...)`.
 */
Napi::Value ThrowErrno(Napi::Env env, const char* syscall, const std::string& subject, int error);

}  // namespace vmb
