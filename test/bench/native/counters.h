/*
 * What the fake node counts, in a file that it shares with lat: FAKE_COUNTERS names the file for the node, BENCH_COUNTERS
 * names it for lat.
 */
#pragma once

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { COUNTED_CALLS = 128 };

struct counters {
  _Atomic uint64_t calls[COUNTED_CALLS]; /* ioctls of the node, by _IOC_NR; each is one system call */
  _Atomic uint64_t again;                /* DQBUF that found nothing */
  _Atomic uint64_t frames;               /* buffers done */
  _Atomic uint64_t lost;                 /* ticks without a queued buffer */
  _Atomic uint64_t own_calls;            /* system calls that a driver would do without */
};

/* Maps the file that the variable names, and makes it if it is absent. Without the variable it is private memory. */
static inline struct counters *map_counters(const char *variable) {
  const char *path = getenv(variable);
  const int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644) : -1;
  if (fd >= 0 && ftruncate(fd, sizeof(struct counters)) != 0) abort();
  const int flags = fd >= 0 ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS;
  void *bytes = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, flags, fd, 0);
  if (fd >= 0) close(fd);
  if (bytes == MAP_FAILED) abort();
  return bytes;
}
