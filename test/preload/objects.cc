#include "objects.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <sys/mman.h>
#include <sys/stat.h>

namespace preload {
namespace {

std::mutex& mutex() {
  static std::mutex& mutex = *new std::mutex;
  return mutex;
}

// By inode, which a copy of a descriptor shares. Never forgotten: an object outlives the descriptors of one program.
std::map<ino_t, wire::Uuid>& objects() {
  static auto& objects = *new std::map<ino_t, wire::Uuid>;
  return objects;
}

}  // namespace

int make_object(const wire::Uuid& uuid, uint32_t flags) {
  const int fd = memfd_create("preload-object", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
  struct stat status;
  if (fd < 0 || fstat(fd, &status) != 0) return -errno;
  std::lock_guard lock(mutex());
  memcpy(objects()[status.st_ino], uuid, sizeof uuid);
  return fd;
}

bool find_object(int fd, wire::Uuid& uuid) {
  struct stat status;
  if (fstat(fd, &status) != 0) return false;
  std::lock_guard lock(mutex());
  const auto found = objects().find(status.st_ino);
  if (found == objects().end()) return false;
  memcpy(uuid, found->second, sizeof uuid);
  return true;
}

}  // namespace preload
