/* This is a fake: the libc symbols that the fake node replaces, and its settings. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "fake_node.h"

enum { MAX_FILES = 65536 };

struct node node = {.lock = PTHREAD_MUTEX_INITIALIZER, .owner = -1, .timer = -1, .brightness = 128};
struct counters *counters;

static _Atomic bool ours[MAX_FILES];

static bool is_ours(int fd) { return fd >= 0 && fd < MAX_FILES && atomic_load_explicit(&ours[fd], memory_order_relaxed); }

__attribute__((constructor)) static void read_settings(void) {
  const char *size = getenv("FAKE_SIZE");
  const char *userptr = getenv("FAKE_USERPTR");
  unsigned width = 640, height = 480;
  if (size && sscanf(size, "%ux%u", &width, &height) != 2) abort();
  node.format = (struct v4l2_pix_format){
      .width = width, .height = height, .pixelformat = V4L2_PIX_FMT_YUYV, .field = V4L2_FIELD_NONE,
      .bytesperline = 2 * width, .sizeimage = 2 * width * height, .colorspace = V4L2_COLORSPACE_SRGB,
      .priv = V4L2_PIX_FMT_PRIV_MAGIC};
  node.userptr = !userptr || strcmp(userptr, "0") != 0;
  counters = map_counters("FAKE_COUNTERS");
  node.path = getenv("FAKE_NODE");
}

static int open_node(int flags) {
  const int event_flags = (flags & O_NONBLOCK ? EFD_NONBLOCK : 0) | (flags & O_CLOEXEC ? EFD_CLOEXEC : 0);
  const int fd = eventfd(0, event_flags);
  if (fd >= 0 && fd < MAX_FILES) atomic_store(&ours[fd], true);
  return fd;
}

static int open_any(int folder, const char *path, int flags, mode_t mode) {
  if (path && node.path && strcmp(path, node.path) == 0 && !(flags & O_PATH)) return open_node(flags);
  return (int)syscall(SYS_openat, folder, path, flags, mode);
}

#define OPEN(name, folder, ...)                                                  \
  int name(__VA_ARGS__ const char *path, int flags, ...) {                       \
    va_list arguments;                                                           \
    va_start(arguments, flags);                                                  \
    const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0; \
    va_end(arguments);                                                           \
    return open_any(folder, path, flags, mode);                                  \
  }
OPEN(open, AT_FDCWD, )
OPEN(open64, AT_FDCWD, )
OPEN(openat, folder, int folder, )
OPEN(openat64, folder, int folder, )
int __open_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }

int close(int fd) {
  if (is_ours(fd)) {
    pthread_mutex_lock(&node.lock);
    if (node.owner == fd) free_buffers();
    atomic_store(&ours[fd], false);
    pthread_mutex_unlock(&node.lock);
  }
  return (int)syscall(SYS_close, fd);
}

int ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  if (!is_ours(fd)) return (int)syscall(SYS_ioctl, fd, request, argument);
  const int error = run_ioctl(fd, (unsigned)request, argument);
  if (error == 0) return 0;
  errno = error;
  return -1;
}

/* The memory of the buffer whose plane has this offset; -1: none. */
static int memory_at(int fd, off_t offset) {
  int memory = -1;
  pthread_mutex_lock(&node.lock);
  for (uint32_t i = 0; node.owner == fd && i < node.count; i++)
    if (node.buffers[i].memory >= 0 && node.buffers[i].record.m.offset == offset) memory = node.buffers[i].memory;
  pthread_mutex_unlock(&node.lock);
  return memory;
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset) {
  if (flags & MAP_ANONYMOUS || !is_ours(fd)) return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
  return (void *)syscall(SYS_mmap, address, length, protection, flags, memory_at(fd, offset), 0);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
  return mmap64(address, length, protection, flags, fd, offset);
}
