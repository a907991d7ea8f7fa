#include "privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "arguments.h"

namespace vmb {

namespace {

/** To the kernel, 2^32 - 1 means that the id does not change. */
constexpr uint64_t kMaxId = UINT32_MAX - 1;
constexpr uint32_t kMaxTexts = 65536;
constexpr uint32_t kMaxDescriptors = 1024;

Napi::Value Errno(const Napi::CallbackInfo& info, bool failed) {
  return Napi::Number::New(info.Env(), failed ? errno : 0);
}

Napi::Value DropBoundingSet(const Napi::CallbackInfo& info) {
  for (unsigned long capability = 0;; capability++) {
    const int held = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    // EINVAL: the number is above the last capability that this kernel knows.
    if (held < 0) return Errno(info, errno != EINVAL);
    if (held > 0 && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return Errno(info, true);
  }
}

/** The functions of the C library change every thread; the system calls would change only this one. */
Napi::Value Become(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "become");
  const gid_t gid = static_cast<gid_t>(arguments.Integer(1, kMaxId));
  const uid_t uid = static_cast<uid_t>(arguments.Integer(0, kMaxId));
  if (!arguments.ok()) return info.Env().Undefined();
  return Errno(info,
               setgroups(0, nullptr) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0);
}

/** The kernel clears the ambient set together with the permitted set. */
Napi::Value ClearCapabilities(const Napi::CallbackInfo& info) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3]{};
  return Errno(info, syscall(SYS_capset, &header, none) != 0);
}

Napi::Value NoNewPrivileges(const Napi::CallbackInfo& info) {
  return Errno(info, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0);
}

/** A seccomp filter with FLAG_TSYNC sets no_new_privs in every thread too. This filter allows everything. */
Napi::Value ShareNoNewPrivileges(const Napi::CallbackInfo& info) {
  sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog program = {1, allow};
  const long status = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                              SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program);
  // A status above 0 is the id of a thread that has another filter already.
  if (status > 0) errno = EBUSY;
  return Errno(info, status != 0);
}

Napi::Value Undumpable(const Napi::CallbackInfo& info) {
  return Errno(info, prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0);
}

/** Reads the strings of an array. False: the value is something else, or an exception is pending. */
bool ReadTexts(Napi::Env env, const Napi::Object& array, std::vector<std::string>& into) {
  uint32_t length = 0;
  if (napi_get_array_length(env, array, &length) != napi_ok || length > kMaxTexts) return false;
  for (uint32_t i = 0; i < length; i++) {
    napi_value element;
    if (napi_get_element(env, array, i, &element) != napi_ok) return false;
    const Napi::Value value(env, element);
    if (!value.IsString()) return false;
    into.push_back(value.As<Napi::String>().Utf8Value());
    // The kernel would end the text at the NUL byte.
    if (into.back().find('\0') != std::string::npos) return false;
  }
  return true;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

bool KeepOverExec(int fd) {
  const int flags = fcntl(fd, F_GETFD);
  return flags >= 0 && fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC) == 0;
}

Napi::Value Execute(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Arguments arguments(info, "execute");
  const std::string path = arguments.Text(0);
  const Napi::Object words = arguments.Object(1);
  const Napi::Object variables = arguments.Object(2);
  const Napi::Object inherited = arguments.Object(3);
  std::vector<std::string> argv;
  std::vector<std::string> environment;
  std::vector<int> descriptors;
  if (arguments.ok() && !ReadTexts(env, words, argv) && !env.IsExceptionPending())
    arguments.Refuse(1, "an array of strings");
  if (arguments.ok() && !ReadTexts(env, variables, environment) && !env.IsExceptionPending())
    arguments.Refuse(2, "an array of strings");
  if (arguments.ok() && !ToDescriptors(env, inherited, kMaxDescriptors, descriptors) &&
      !env.IsExceptionPending())
    arguments.Refuse(3, "an array of descriptors");
  if (env.IsExceptionPending()) return env.Undefined();
  for (const int fd : descriptors) {
    if (!KeepOverExec(fd)) return Errno(info, true);
  }
  execve(path.c_str(), Pointers(argv).data(), Pointers(environment).data());
  return Errno(info, true);
}

}  // namespace

void ExportPrivileges(Napi::Env env, Napi::Object exports) {
  exports.Set("dropBoundingSet", Napi::Function::New<DropBoundingSet>(env, "dropBoundingSet"));
  exports.Set("become", Napi::Function::New<Become>(env, "become"));
  exports.Set("clearCapabilities", Napi::Function::New<ClearCapabilities>(env, "clearCapabilities"));
  exports.Set("noNewPrivileges", Napi::Function::New<NoNewPrivileges>(env, "noNewPrivileges"));
  exports.Set("shareNoNewPrivileges", Napi::Function::New<ShareNoNewPrivileges>(env, "shareNoNewPrivileges"));
  exports.Set("undumpable", Napi::Function::New<Undumpable>(env, "undumpable"));
  exports.Set("execute", Napi::Function::New<Execute>(env, "execute"));
}

}  // namespace vmb
