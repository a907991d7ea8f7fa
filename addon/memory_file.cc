#include "memory_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arguments.h"
#include "failure.h"
#include "unique_fd.h"

#ifndef MFD_NOEXEC_SEAL  // Linux 6.3
#define MFD_NOEXEC_SEAL 0x0008U
#endif

namespace vmb {

namespace {

UniqueFd CreateMemoryFile(const std::string& name) {
  const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  // A kernel may be configured to refuse executable memory files (vm.memfd_noexec). An older kernel does not
  // know the flag and answers EINVAL.
  UniqueFd fd(memfd_create(name.c_str(), flags | MFD_NOEXEC_SEAL));
  if (!fd && errno == EINVAL) fd.Reset(memfd_create(name.c_str(), flags));
  return fd;
}

Napi::Value MemoryFile(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "memoryFile");
  const std::string name = arguments.Text(0);
  const uint64_t size = arguments.Integer(1);
  if (!arguments.ok()) return info.Env().Undefined();
  UniqueFd fd = CreateMemoryFile(name);
  if (!fd) return ThrowErrno(info.Env(), "memfd_create", name, errno);
  if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
    return ThrowErrno(info.Env(), "ftruncate", name, errno);
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return ThrowErrno(info.Env(), "fcntl", name, errno);
  }
  return Napi::Number::New(info.Env(), fd.Release());
}

Napi::Value PunchHole(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "punchHole");
  const int fd = arguments.Descriptor(0);
  const uint64_t offset = arguments.Integer(1);
  const uint64_t length = arguments.Integer(2);
  if (!arguments.ok()) return info.Env().Undefined();
  const int result = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                               static_cast<off_t>(length));
  return Napi::Number::New(info.Env(), result == 0 ? 0 : errno);
}

}  // namespace

void ExportMemoryFile(Napi::Env env, Napi::Object exports) {
  exports.Set("memoryFile", Napi::Function::New<MemoryFile>(env, "memoryFile"));
  exports.Set("punchHole", Napi::Function::New<PunchHole>(env, "punchHole"));
}

}  // namespace vmb
