#include "files.h"

#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <map>
#include <sys/eventfd.h>

#include "real.h"

namespace preload {
namespace {

std::mutex& mutex() {
  static std::mutex& mutex = *new std::mutex;
  return mutex;
}

std::map<int, std::shared_ptr<OpenFile>>& files() {
  static auto& files = *new std::map<int, std::shared_ptr<OpenFile>>;
  return files;
}

// Most descriptors of most programs are not ours. This is found out without a lock.
constexpr int kFlags = 1 << 16;
std::atomic<bool> is_ours[kFlags];
std::atomic<bool> abandoned;

bool may_be_ours(int fd) { return fd >= 0 && (fd >= kFlags || is_ours[fd].load(std::memory_order_acquire)); }

void put(int fd, std::shared_ptr<OpenFile> file) {
  std::lock_guard lock(mutex());
  files()[fd] = std::move(file);
  if (fd < kFlags) is_ours[fd].store(true, std::memory_order_release);
}

}  // namespace

std::shared_ptr<OpenFile> file_of(int fd) {
  if (!may_be_ours(fd) || abandoned) return nullptr;
  std::lock_guard lock(mutex());
  const auto found = files().find(fd);
  return found == files().end() ? nullptr : found->second;
}

std::shared_ptr<Session> session_of(int fd) { return std::dynamic_pointer_cast<Session>(file_of(fd)); }

int install(std::shared_ptr<OpenFile> file, int flags) {
  // The eventfd stores O_NONBLOCK in its own file status flags, which copies of the descriptor share.
  const int fd = eventfd(0, (flags & O_CLOEXEC ? EFD_CLOEXEC : 0) | (flags & O_NONBLOCK ? EFD_NONBLOCK : 0));
  if (fd >= 0) put(fd, std::move(file));
  return fd;
}

void copied(int fd, int copy) {
  if (auto file = file_of(fd)) put(copy, std::move(file));
}

std::shared_ptr<OpenFile> forget(int fd) {
  if (!may_be_ours(fd) || abandoned) return nullptr;
  std::lock_guard lock(mutex());
  const auto found = files().find(fd);
  if (found == files().end()) return nullptr;
  auto file = std::move(found->second);
  files().erase(found);
  if (fd < kFlags) is_ours[fd].store(false, std::memory_order_release);
  return file;
}

void abandon_files() { abandoned = true; }

bool are_abandoned() { return abandoned; }

}  // namespace preload
