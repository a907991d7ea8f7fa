// What a program may do with a node besides ioctls. Each step has the same result natively and through the
// library.
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BUFFERS 3

static const char *path;

static void check(int good, const char *what) {
  if (good) return;
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

struct stream {
  int fd;
  size_t length;
  void *at[BUFFERS];
};

static struct v4l2_buffer record(unsigned index) {
  struct v4l2_buffer buffer = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP, .index = index};
  return buffer;
}

static int request(int fd, unsigned count) {
  struct v4l2_requestbuffers buffers = {.count = count, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
  return ioctl(fd, VIDIOC_REQBUFS, &buffers);
}

static int stream_on(int fd) {
  int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  return ioctl(fd, VIDIOC_STREAMON, &type);
}

static struct stream prepare(int flags) {
  struct stream stream = {.fd = open(path, O_RDWR | flags)};
  check(stream.fd >= 0, "open");
  check(request(stream.fd, BUFFERS) == 0, "REQBUFS");
  for (unsigned i = 0; i < BUFFERS; i++) {
    struct v4l2_buffer buffer = record(i);
    check(ioctl(stream.fd, VIDIOC_QUERYBUF, &buffer) == 0, "QUERYBUF");
    stream.length = buffer.length;
    stream.at[i] = mmap(NULL, buffer.length, PROT_READ | PROT_WRITE, MAP_SHARED, stream.fd, buffer.m.offset);
    check(stream.at[i] != MAP_FAILED, "mmap");
    check(ioctl(stream.fd, VIDIOC_QBUF, &buffer) == 0, "QBUF");
  }
  return stream;
}

static void take_frames(int fd, unsigned count) {
  while (count-- > 0) {
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    struct v4l2_buffer buffer = record(0);
    check(poll(&ready, 1, 5000) == 1 && ready.revents == POLLIN, "poll");
    check(ioctl(fd, VIDIOC_DQBUF, &buffer) == 0, "DQBUF");
    check(ioctl(fd, VIDIOC_QBUF, &buffer) == 0, "QBUF again");
  }
}

// A child that closes everything takes nothing away from its parent.
static void forked(void) {
  struct stream stream = prepare(0);
  check(stream_on(stream.fd) == 0, "STREAMON");
  pid_t child = fork();
  check(child >= 0, "fork");
  if (child == 0) {
    for (unsigned i = 0; i < BUFFERS; i++) munmap(stream.at[i], stream.length);
    close(stream.fd);
    _exit(0);
  }
  int status;
  check(waitpid(child, &status, 0) == child && status == 0, "the child");
  take_frames(stream.fd, 5);
}

// Head, tail and middle of mappings are unmapped one by one.
static void in_pieces(void) {
  struct stream stream = prepare(0);
  size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (stream.length + page - 1) / page * page;
  char *at = stream.at[0];
  check(munmap(at, page) == 0, "munmap of the head");
  check(munmap(at + whole - page, page) == 0, "munmap of the tail");
  check(munmap(at + 4 * page, page) == 0, "munmap of the middle");
  check(munmap(at + page, whole - 2 * page) == 0, "munmap of the rest");
  check(stream_on(stream.fd) == 0, "STREAMON");
  take_frames(stream.fd, 5);
}

// A mapping keeps the file open: the queue belongs to the file until the mapping is gone.
static void pinned(void) {
  struct stream stream = prepare(0);
  close(stream.fd);
  int other = open(path, O_RDWR);
  check(other >= 0, "open again");
  check(request(other, 2) == -1 && errno == EBUSY, "REQBUFS while the old file is mapped");
  for (unsigned i = 0; i < BUFFERS; i++) check(munmap(stream.at[i], stream.length) == 0, "munmap");
  check(request(other, 2) == 0, "REQBUFS afterwards");
}

// Copies of a descriptor refer to one file and share one O_NONBLOCK flag.
static void copied(void) {
  struct stream stream = prepare(0);
  int copy = dup(stream.fd), high = fcntl(stream.fd, F_DUPFD_CLOEXEC, 100);
  check(copy >= 0 && high >= 100, "dup");
  close(stream.fd);
  check(fcntl(copy, F_SETFL, O_NONBLOCK) == 0, "F_SETFL");
  struct v4l2_buffer buffer = record(0);
  check(stream_on(high) == 0, "STREAMON");
  for (unsigned i = 0; i <= BUFFERS; i++)
    if (ioctl(high, VIDIOC_DQBUF, &buffer) != 0) {
      check(errno == EAGAIN, "DQBUF");
      check((fcntl(high, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_RDWR | O_NONBLOCK), "F_GETFL");
      return;
    }
  check(0, "DQBUF waited");
}

// Edge-triggered: reported once. Level-triggered: reported again and again.
static void edges(void) {
  struct stream stream = prepare(0);
  int epoll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = 7}, found;
  check(epoll_ctl(epoll, EPOLL_CTL_ADD, stream.fd, &event) == 0, "EPOLL_CTL_ADD");
  check(epoll_wait(epoll, &found, 1, 0) == 1 && found.events == EPOLLERR, "before the stream");
  check(stream_on(stream.fd) == 0, "STREAMON");
  // All buffers come back; after the last one there is no edge.
  usleep(2000000);
  check(epoll_wait(epoll, &found, 1, 1000) == 1 && found.events == EPOLLIN && found.data.u32 == 7, "the edge");
  check(epoll_wait(epoll, &found, 1, 200) == 0, "no edge");
  event.events = EPOLLIN;
  check(epoll_ctl(epoll, EPOLL_CTL_MOD, stream.fd, &event) == 0, "EPOLL_CTL_MOD");
  check(epoll_wait(epoll, &found, 1, 1000) == 1 && epoll_wait(epoll, &found, 1, 0) == 1, "levels");
  close(stream.fd);
  check(epoll_ctl(epoll, EPOLL_CTL_DEL, stream.fd, &event) == -1 && errno == EBADF, "a closed descriptor");
}

int main(int count, char **words) {
  static const struct {
    const char *name;
    void (*run)(void);
  } tests[] = {{"forked", forked}, {"in-pieces", in_pieces}, {"pinned", pinned}, {"copied", copied}, {"edges", edges}};
  check(count == 3, "usage: node-life PATH TEST");
  path = words[1];
  for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++)
    if (strcmp(words[2], tests[i].name) == 0) {
      tests[i].run();
      return 0;
    }
  check(0, "no such test");
}
