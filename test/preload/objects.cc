#include "objects.h"

#include <cerrno>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "settings.h"
#include "unique_fd.h"

namespace preload {
namespace {

std::mutex& mutex() {
  static std::mutex& mutex = *new std::mutex;
  return mutex;
}

// Keyed by device and inode, which a copy of a descriptor shares. Entries are never removed, because nothing
// tells when the last descriptor of an inode is closed.
using Key = std::pair<dev_t, ino_t>;
std::map<Key, Object>& objects() {
  static auto& objects = *new std::map<Key, Object>;
  return objects;
}

}  // namespace

int make_object(Object object, size_t bytes, uint32_t flags) {
  const int fd = memfd_create("preload-object", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
  struct stat status;
  if (fd < 0) return -errno;
  if (ftruncate(fd, static_cast<off_t>(bytes)) != 0 || fstat(fd, &status) != 0) {
    const int error = errno;
    real::close(fd);
    return -error;
  }
  std::lock_guard lock(mutex());
  objects()[{status.st_dev, status.st_ino}] = std::move(object);
  return fd;
}

const Object* find_object(int fd) {
  struct stat status;
  if (!Settings::get().objects || fstat(fd, &status) != 0) return nullptr;
  std::lock_guard lock(mutex());
  const auto found = objects().find({status.st_dev, status.st_ino});
  return found == objects().end() ? nullptr : &found->second;
}

}  // namespace preload
