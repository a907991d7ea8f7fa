#include "epolling.h"

#include <atomic>
#include <cerrno>
#include <map>
#include <vector>

#include "files.h"
#include "polling.h"
#include "waiter.h"

namespace preload {
namespace {

struct Watched {
  std::weak_ptr<OpenFile> file;
  epoll_event event;
  uint64_t seen;
  bool disabled;
};

std::mutex& mutex() {
  static std::mutex& mutex = *new std::mutex;
  return mutex;
}

// By epoll descriptor, then by our descriptor.
std::map<int, std::map<int, Watched>>& watched() {
  static auto& watched = *new std::map<int, std::map<int, Watched>>;
  return watched;
}

std::atomic<bool> any;

int fail(int error) {
  errno = error;
  return -1;
}

// The events that one entry reports now; 0: none.
uint32_t ready(Watched& each) {
  const auto file = each.file.lock();
  if (!file || each.disabled) return 0;
  const auto events = static_cast<uint16_t>(file->readiness(static_cast<short>(each.event.events)));
  if (!events) return 0;
  const uint64_t wakes = file->wakes();
  if ((each.event.events & EPOLLET) && each.seen == wakes) return 0;
  each.seen = wakes;
  each.disabled = each.event.events & EPOLLONESHOT;
  return events;
}

int look(int epoll, epoll_event* events, int most) {
  std::lock_guard lock(mutex());
  int count = 0;
  for (auto& [fd, each] : watched()[epoll]) {
    const uint32_t found = count < most ? ready(each) : 0;
    if (found) events[count++] = {found, each.event.data};
  }
  return count;
}

}  // namespace

int control_epoll(int epoll, int operation, int fd, epoll_event* event) {
  std::lock_guard lock(mutex());
  auto& files = watched()[epoll];
  const auto found = files.find(fd);
  if (operation == EPOLL_CTL_ADD && found != files.end()) return fail(EEXIST);
  if (operation != EPOLL_CTL_ADD && found == files.end()) return fail(ENOENT);
  if (operation == EPOLL_CTL_DEL)
    files.erase(found);
  else
    files[fd] = {file_of(fd), *event, UINT64_MAX, false};
  any = true;
  Waiter::wake_all();
  return 0;
}

bool is_watched(int epoll) {
  if (!any || are_abandoned()) return false;
  std::lock_guard lock(mutex());
  const auto found = watched().find(epoll);
  return found != watched().end() && !found->second.empty();
}

int wait_epoll(int epoll, epoll_event* events, int most, int milliseconds, const sigset_t* mask) {
  if (most <= 0) return fail(EINVAL);
  const timespec timeout = {milliseconds / 1000, milliseconds % 1000 * 1'000'000L};
  Deadline deadline(milliseconds < 0 ? nullptr : &timeout);
  const Waiter waiter;
  for (;;) {
    waiter.drain();
    const int count = look(epoll, events, most);
    const int others = count < most ? real::epoll_pwait(epoll, events + count, most - count, 0, mask) : 0;
    if (others < 0) return count > 0 ? count : -1;
    if (count + others > 0 || deadline.passed()) return count + others;
    pollfd both[] = {{epoll, POLLIN, 0}, {waiter.fd(), POLLIN, 0}};
    if (real::ppoll(both, 2, deadline.left(), mask) < 0) return -1;
  }
}

void forget_epoll(int fd) {
  if (!any || are_abandoned()) return;
  std::lock_guard lock(mutex());
  watched().erase(fd);
  for (auto& [epoll, files] : watched()) files.erase(fd);
}

}  // namespace preload
