/* This is a fake: the queue of the fake node, and the clock that makes its frames. All with the lock held. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>

#include "fake_node.h"

enum { PAGE = 4096 };

void put(struct fifo *fifo, uint32_t index) { fifo->index[(fifo->first + fifo->count++) % MAX_BUFFERS] = index; }

uint32_t take(struct fifo *fifo) {
  const uint32_t index = fifo->index[fifo->first];
  fifo->first = (fifo->first + 1) % MAX_BUFFERS;
  fifo->count--;
  return index;
}

void clear_readiness(int fd) {
  uint64_t count;
  atomic_fetch_add(&counters->own_calls, 1);
  (void)!syscall(SYS_read, fd, &count, sizeof count);
}

/* The oldest queued buffer becomes a frame. */
static void complete_one(void) {
  const uint32_t index = take(&node.queued);
  struct buffer *buffer = &node.buffers[index];
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  buffer->state = DONE;
  buffer->record.sequence = node.sequence;
  buffer->record.bytesused = node.format.sizeimage;
  buffer->record.timestamp = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
  memcpy(buffer->bytes, &node.sequence, sizeof node.sequence);
  node.sequence++;
  put(&node.done, index);
  atomic_fetch_add(&counters->frames, 1);
  atomic_fetch_add(&counters->own_calls, 1);
  const uint64_t one = 1;
  (void)!syscall(SYS_write, node.owner, &one, sizeof one);
}

void complete_all(void) {
  while (node.streaming && node.period.numerator == 0 && node.queued.count > 0) complete_one();
}

/* A tick without a buffer is a lost frame. One that comes late is one tick, however late: this machine was busy, not the daemon. */
static void *tick(void *unused) {
  pthread_setname_np(pthread_self(), "fake-clock");
  for (;;) {
    uint64_t expirations;
    if (syscall(SYS_read, node.timer, &expirations, sizeof expirations) < 0) return unused;
    pthread_mutex_lock(&node.lock);
    const bool streaming = node.streaming;
    if (streaming && node.queued.count > 0) {
      complete_one();
    } else if (streaming) {
      node.sequence++;
      atomic_fetch_add(&counters->lost, 1);
    }
    pthread_mutex_unlock(&node.lock);
    if (!streaming) return unused;
  }
}

void start_clock(void) {
  const long long nanoseconds = 1000000000LL * node.period.numerator / node.period.denominator;
  const struct timespec period = {nanoseconds / 1000000000LL, nanoseconds % 1000000000LL};
  const struct itimerspec every = {period, period};
  node.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  timerfd_settime(node.timer, 0, &every, NULL);
  if (pthread_create(&node.clock, NULL, tick, NULL) != 0) abort();
}

/* Returns without the clock's thread. The lock is let go meanwhile. */
void stop_streaming(void) {
  const bool has_clock = node.streaming && node.timer >= 0;
  node.streaming = false;
  if (has_clock) {
    pthread_mutex_unlock(&node.lock);
    pthread_join(node.clock, NULL);
    pthread_mutex_lock(&node.lock);
    syscall(SYS_close, node.timer);
    node.timer = -1;
  }
  if (node.done.count > 0) clear_readiness(node.owner);
  node.queued = node.done = (struct fifo){0};
  for (uint32_t i = 0; i < node.count; i++) node.buffers[i].state = IDLE;
}

static uint32_t whole_pages(uint32_t bytes) { return (bytes + PAGE - 1) / PAGE * PAGE; }

void free_buffers(void) {
  stop_streaming();
  for (uint32_t i = 0; i < node.count; i++) {
    struct buffer *buffer = &node.buffers[i];
    if (buffer->record.memory != V4L2_MEMORY_MMAP) continue;
    munmap(buffer->bytes, whole_pages(buffer->record.length));
    syscall(SYS_close, buffer->memory);
  }
  node.count = 0;
  node.owner = -1;
}

int make_buffer(uint32_t index, uint32_t memory) {
  const uint32_t pages = whole_pages(node.format.sizeimage);
  struct buffer *buffer = &node.buffers[index];
  *buffer = (struct buffer){
      .record = {.index = index, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .field = V4L2_FIELD_NONE, .memory = memory,
                 .flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC, .length = node.format.sizeimage},
      .memory = -1};
  if (memory != V4L2_MEMORY_MMAP) return 0;
  buffer->memory = memfd_create("fake-frame", MFD_CLOEXEC);
  if (buffer->memory < 0 || ftruncate(buffer->memory, pages) != 0) return ENOMEM;
  buffer->bytes = (void *)syscall(SYS_mmap, NULL, pages, PROT_READ | PROT_WRITE, MAP_SHARED, buffer->memory, 0);
  buffer->record.m.offset = index * pages;
  return buffer->bytes == MAP_FAILED ? ENOMEM : 0;
}
