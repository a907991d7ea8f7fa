#include "polling.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <vector>

#include "files.h"
#include "waiter.h"

namespace preload {
namespace {

constexpr timespec kNow = {0, 0};
constexpr long kSecond = 1'000'000'000;

// Sets `revents` of our descriptors. Returns how many of them have events.
int look(pollfd* fds, const std::vector<std::shared_ptr<OpenFile>>& ours) {
  int ready = 0;
  for (size_t i = 0; i < ours.size(); i++) {
    if (!ours[i]) continue;
    fds[i].revents = ours[i]->readiness(fds[i].events);
    ready += fds[i].revents != 0;
  }
  return ready;
}

// The descriptors that are not ours: ours are hidden from the kernel, and a waiter is added at the end.
struct Others {
  std::vector<pollfd> fds;

  Others(const pollfd* all, const std::vector<std::shared_ptr<OpenFile>>& ours, int waiter)
      : fds(all, all + ours.size()) {
    for (size_t i = 0; i < ours.size(); i++)
      if (ours[i]) fds[i].fd = -1;
    fds.push_back({waiter, POLLIN, 0});
  }
  void show(pollfd* all, const std::vector<std::shared_ptr<OpenFile>>& ours) const {
    for (size_t i = 0; i < ours.size(); i++)
      if (!ours[i]) all[i].revents = fds[i].revents;
  }
};

}  // namespace

Deadline::Deadline(const timespec* timeout) : forever_(!timeout) {
  if (forever_) return;
  clock_gettime(CLOCK_MONOTONIC, &end_);
  end_.tv_sec += timeout->tv_sec;
  end_.tv_nsec += timeout->tv_nsec;
  if (end_.tv_nsec >= kSecond) end_.tv_sec++, end_.tv_nsec -= kSecond;
}

const timespec* Deadline::left() {
  if (forever_) return nullptr;
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  left_ = {end_.tv_sec - now.tv_sec, end_.tv_nsec - now.tv_nsec};
  if (left_.tv_nsec < 0) left_.tv_sec--, left_.tv_nsec += kSecond;
  if (left_.tv_sec < 0) left_ = kNow;
  return &left_;
}

bool Deadline::passed() {
  const timespec* rest = left();
  return rest && rest->tv_sec == 0 && rest->tv_nsec == 0;
}

int poll_files(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  std::vector<std::shared_ptr<OpenFile>> ours(count);
  bool any = false;
  for (nfds_t i = 0; i < count; i++) any |= (ours[i] = file_of(fds[i].fd)) != nullptr;
  if (!any) return real::ppoll(fds, count, timeout, mask);
  Deadline deadline(timeout);
  const Waiter waiter;
  Others others(fds, ours, waiter.fd());
  for (;;) {
    waiter.drain();
    const int ready = look(fds, ours);
    const bool last = ready > 0 || deadline.passed();
    const int more = real::ppoll(others.fds.data(), count + 1, last ? &kNow : deadline.left(), mask);
    if (more < 0) return -1;
    const int woken = others.fds[count].revents != 0;
    if (ready + more - woken > 0 || last) {
      others.show(fds, ours);
      return ready + more - woken;
    }
  }
}

int select_files(int count, fd_set* in, fd_set* out, fd_set* except, const timespec* timeout, const sigset_t* mask) {
  // The events that each set waits for, and those that put a descriptor into it (fs/select.c).
  constexpr short kWanted[] = {POLLIN | POLLRDNORM | POLLRDBAND, POLLOUT | POLLWRNORM | POLLWRBAND, POLLPRI};
  constexpr short kSets[] = {kWanted[0] | POLLHUP | POLLERR, kWanted[1] | POLLERR, POLLPRI};
  fd_set* const sets[] = {in, out, except};
  std::vector<pollfd> fds;
  for (int fd = 0; fd < count; fd++) {
    short wanted = 0;
    for (int i = 0; i < 3; i++)
      if (sets[i] && FD_ISSET(fd, sets[i])) wanted |= kWanted[i];
    if (wanted) fds.push_back({fd, wanted, 0});
  }
  if (poll_files(fds.data(), fds.size(), timeout, mask) < 0) return -1;
  int ready = 0;
  for (const pollfd& each : fds) {
    if (each.revents & POLLNVAL) {
      errno = EBADF;
      return -1;
    }
    for (int i = 0; i < 3; i++) {
      if (!sets[i] || !FD_ISSET(each.fd, sets[i])) continue;
      if (each.revents & kSets[i])
        ready++;
      else
        FD_CLR(each.fd, sets[i]);
    }
  }
  return ready;
}

}  // namespace preload
