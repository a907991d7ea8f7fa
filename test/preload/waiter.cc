#include "waiter.h"

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <sys/eventfd.h>
#include <vector>

#include "unique_fd.h"

namespace preload {
namespace {

std::mutex& mutex() {
  static std::mutex& mutex = *new std::mutex;
  return mutex;
}

std::vector<int>& waiting() {
  static std::vector<int>& waiting = *new std::vector<int>;
  return waiting;
}

// Kept from one wait of the thread to the next.
struct Spare {
  UniqueFd fd;
  bool taken = false;
};
thread_local Spare spare;

}  // namespace

Waiter::Waiter() {
  if (!spare.taken && !spare.fd) spare.fd = UniqueFd(eventfd(0, EFD_CLOEXEC));
  fd_ = spare.taken ? eventfd(0, EFD_CLOEXEC) : spare.fd.get();
  spare.taken = true;
  std::lock_guard lock(mutex());
  waiting().push_back(fd_);
}

Waiter::~Waiter() {
  {
    std::lock_guard lock(mutex());
    std::erase(waiting(), fd_);
  }
  drain();
  if (fd_ != spare.fd.get())
    real::close(fd_);
  else
    spare.taken = false;
}

void Waiter::drain() const {
  pollfd readable = {fd_, POLLIN, 0};
  uint64_t count;
  if (real::poll(&readable, 1, 0) > 0) (void)!real::read(fd_, &count, sizeof count);
}

// Waits by a blocking read, because the kernel restarts it after a signal in the same cases as a driver's
// DQBUF.
bool Waiter::wait() const {
  uint64_t count;
  return real::read(fd_, &count, sizeof count) == sizeof count;
}

void Waiter::wake_all() {
  std::lock_guard lock(mutex());
  const uint64_t one = 1;
  for (const int fd : waiting()) (void)!real::write(fd, &one, sizeof one);
}

}  // namespace preload
