/*
 * A V4L2 node in user space, over /dev/cuse and the kernel's FUSE protocol. On command it stops answering
 * requests of programs, as a driver does whose hardware has stopped answering.
 *
 * Usage: cuse-node NAME
 *
 * Creates /dev/NAME (NAME: videoN) and prints "ready". Commands on standard input, one a line:
 *   hold open | close | poll | all    from now on, do not answer these
 *   hold NR                           from now on, do not answer the ioctl with this VIDIOC_* number
 *   slow MS                           from now on, an ioctl takes that many milliseconds
 *   refuse NR ERRNO                   from now on, this ioctl answers that errno
 *   unregister                        from now on, poll says that the node is gone, and every ioctl is ENODEV
 *   well                              answer all waiting requests, and hold back no more
 * It prints "done" when it has carried out a command, and "held" for each request that begins to wait. It
 * ends when its input ends.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cuse-camera.h"

#define MAX_REQUEST 0x21000
#define MAX_HELD 64
#define MAX_FILES 64
#define IOCTLS 256

struct request {
  struct fuse_in_header header;
  union {
    struct cuse_init_in init;
    struct fuse_release_in release;
    struct fuse_poll_in poll;
    struct {
      struct fuse_ioctl_in in;
      unsigned char data[1 << 14];
    } ioctl;
    unsigned char bytes[MAX_REQUEST - sizeof(struct fuse_in_header)];
  };
};

static int cuse;
static const char *name;
static struct {
  bool open, close, poll, all, ioctl[IOCTLS];
} holding;
static unsigned slow_ms;
static int refused[IOCTLS];
static bool unregistered;
static struct request *held[MAX_HELD];
static unsigned held_count;

static void send_reply(uint64_t unique, int error, const void *body, size_t length, const void *more, size_t rest) {
  struct fuse_out_header header = {.len = (uint32_t)(sizeof header + length + rest), .error = error, .unique = unique};
  struct iovec parts[] = {{&header, sizeof header}, {(void *)body, length}, {(void *)more, rest}};
  /* ENOENT: the process of the request was killed meanwhile. */
  if (writev(cuse, parts, 3) < 0 && errno != ENOENT) warn("an answer to /dev/cuse");
}

static void reply(const struct request *request, const void *body, size_t length) {
  send_reply(request->header.unique, 0, body, length, NULL, 0);
}

static void refuse(const struct request *request, int error) { send_reply(request->header.unique, error, NULL, 0, NULL, 0); }

static struct camera_file *file_of(uint64_t handle) { return (struct camera_file *)(uintptr_t)handle; }

static void initialise(struct request *request) {
  char info[64];
  const int length = snprintf(info, sizeof info, "DEVNAME=%s", name) + 1;
  const struct cuse_init_out out = {
      .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_read = 1 << 16, .max_write = 1 << 16};
  send_reply(request->header.unique, 0, &out, sizeof out, info, (size_t)length);
  printf("ready\n");
}

static void open_file(struct request *request) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%u/mem", request->header.pid);
  const struct fuse_open_out out = {.fh = (uintptr_t)camera_open(open(path, O_RDWR | O_CLOEXEC)),
                                    .open_flags = FOPEN_DIRECT_IO | FOPEN_NONSEEKABLE};
  reply(request, &out, sizeof out);
}

static void run_ioctl(struct request *request) {
  const struct fuse_ioctl_in in = request->ioctl.in;
  unsigned char *data = request->ioctl.data;
  memset(data + in.in_size, 0, sizeof request->ioctl.data - in.in_size);
  usleep(slow_ms * 1000);
  const int refusal = unregistered ? ENODEV : refused[in.cmd & (IOCTLS - 1)];
  const struct fuse_ioctl_out out = {.result = refusal ? -refusal : camera_ioctl(file_of(in.fh), in.cmd, data)};
  send_reply(request->header.unique, 0, &out, sizeof out, data, out.result < 0 ? 0 : in.out_size);
}

/* Files to wake when a frame is there, by the kernel's poll handle. */
static struct poller {
  struct camera_file *file;
  uint64_t handle;
} pollers[MAX_FILES];

static void run_poll(struct request *request) {
  struct camera_file *file = file_of(request->poll.fh);
  unsigned at = 0, free = 0;
  while (at < MAX_FILES && pollers[at].file != file) at++;
  while (pollers[free].file && free + 1 < MAX_FILES) free++;
  pollers[at < MAX_FILES ? at : free] = (struct poller){file, request->poll.kh};
  const struct fuse_poll_out out = {.revents = unregistered ? POLLERR | POLLHUP | POLLPRI : camera_ready(file)};
  reply(request, &out, sizeof out);
}

static void release_file(struct request *request) {
  struct camera_file *file = file_of(request->release.fh);
  for (unsigned at = 0; at < MAX_FILES; at++)
    if (pollers[at].file == file) pollers[at].file = NULL;
  camera_close(file);
  refuse(request, 0);
}

static void wake(const struct camera_file *file) {
  for (unsigned at = 0; at < MAX_FILES; at++) {
    if (!file || pollers[at].file != file) continue;
    const struct fuse_notify_poll_wakeup_out out = {.kh = pollers[at].handle};
    send_reply(0, FUSE_NOTIFY_POLL, &out, sizeof out, NULL, 0);
  }
}

static bool never(const struct request *request) {
  (void)request;
  return false;
}
static bool holds_open(const struct request *request) {
  (void)request;
  return holding.open;
}
static bool holds_close(const struct request *request) {
  (void)request;
  return holding.close;
}
static bool holds_poll(const struct request *request) {
  (void)request;
  return holding.poll;
}
static bool holds_ioctl(const struct request *request) {
  return holding.ioctl[request->ioctl.in.cmd & (IOCTLS - 1)];
}

static const struct {
  uint32_t opcode;
  void (*run)(struct request *);
  bool (*holds)(const struct request *);
} operations[] = {
    {CUSE_INIT, initialise, never},          {FUSE_OPEN, open_file, holds_open},
    {FUSE_RELEASE, release_file, holds_close}, {FUSE_IOCTL, run_ioctl, holds_ioctl},
    {FUSE_POLL, run_poll, holds_poll},
};

static void hold(const struct request *request) {
  if (held_count == MAX_HELD) errx(1, "more than %d requests wait", MAX_HELD);
  held[held_count] = malloc(sizeof *request);
  *held[held_count++] = *request;
  printf("held\n");
}

static void serve(struct request *request) {
  for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
    if (operations[i].opcode != request->header.opcode) continue;
    const bool waits = operations[i].holds(request) || (holding.all && request->header.opcode != CUSE_INIT);
    if (waits) hold(request);
    else operations[i].run(request);
    return;
  }
  /* FUSE_INTERRUPT needs no answer: a driver that hangs does not see it. */
  if (request->header.opcode != FUSE_INTERRUPT) refuse(request, -ENOSYS);
}

static void let_go(void) {
  memset(&holding, 0, sizeof holding);
  memset(refused, 0, sizeof refused);
  slow_ms = 0;
  const unsigned waiting = held_count;
  held_count = 0;
  for (unsigned i = 0; i < waiting; i++) {
    serve(held[i]);
    free(held[i]);
  }
}

static void refuse_ioctl(const char *which) {
  char *errno_text;
  const long nr = strtol(which, &errno_text, 10);
  refused[nr & (IOCTLS - 1)] = atoi(errno_text);
}

static void obey(const char *line) {
  const char *what = line + strlen("hold ");
  if (strcmp(line, "well") == 0) let_go();
  else if (strcmp(line, "hold open") == 0) holding.open = true;
  else if (strcmp(line, "hold close") == 0) holding.close = true;
  else if (strcmp(line, "hold poll") == 0) holding.poll = true;
  else if (strcmp(line, "hold all") == 0) holding.all = true;
  else if (strcmp(line, "unregister") == 0) unregistered = true;
  else if (strncmp(line, "refuse ", 7) == 0) refuse_ioctl(line + 7);
  else if (strncmp(line, "slow ", 5) == 0) slow_ms = (unsigned)atoi(what);
  else if (strncmp(line, "hold ", 5) == 0) holding.ioctl[atoi(what) & (IOCTLS - 1)] = true;
  else errx(2, "%s: no command", line);
  printf("done\n");
}

/* Carries out every complete line that has arrived. False: the input has ended. */
static bool obey_all(void) {
  static char buffer[256];
  static size_t length;
  const ssize_t got = read(STDIN_FILENO, buffer + length, sizeof buffer - 1 - length);
  if (got <= 0) return false;
  length += (size_t)got;
  buffer[length] = '\0';
  for (char *end; (end = strchr(buffer, '\n'));) {
    *end = '\0';
    obey(buffer);
    length -= (size_t)(end + 1 - buffer);
    memmove(buffer, end + 1, length + 1);
  }
  return true;
}

/* A timer at the frame rate of the camera. */
static int make_clock(void) {
  const int clock = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  const struct timespec interval = {.tv_nsec = FRAME_INTERVAL_MS * 1000000};
  const struct itimerspec timer = {interval, interval};
  if (clock < 0 || timerfd_settime(clock, 0, &timer, NULL) < 0) err(1, "timerfd");
  return clock;
}

int main(int argc, char **argv) {
  if (argc != 2) errx(2, "usage: cuse-node NAME");
  name = argv[1];
  setvbuf(stdout, NULL, _IOLBF, 0);
  cuse = open("/dev/cuse", O_RDWR | O_CLOEXEC);
  if (cuse < 0) err(1, "/dev/cuse");
  static struct request request;
  uint64_t ticks;
  struct pollfd inputs[] = {{cuse, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}, {make_clock(), POLLIN, 0}};
  for (;;) {
    if (poll(inputs, 3, -1) < 0) err(1, "poll");
    if (inputs[0].revents) {
      if (read(cuse, &request, sizeof request) > 0) serve(&request);
      else if (errno == ENODEV) errx(1, "the kernel has dropped the node");
    }
    if (inputs[1].revents && !obey_all()) return 0;
    if (inputs[2].revents && read(inputs[2].fd, &ticks, sizeof ticks) > 0) wake(camera_tick());
  }
}
