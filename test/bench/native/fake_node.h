/*
 * This is a fake: a V4L2 capture node inside the process that the library is preloaded into. That process gets it when it
 * opens the path FAKE_NODE. The fake shows what a back-end costs on a machine without a V4L2 driver, and says nothing about
 * drivers.
 *
 * The descriptor is a real eventfd, so that poll and epoll work on it. Its counter is above 0 while a buffer is done. Every
 * ioctl also makes one real system call, so that it costs the way into the kernel and tracers see it. Frames cost nothing,
 * because hardware would write them: only the sequence number is written, into the first four bytes, and lat compares it.
 *
 *   FAKE_NODE     the path that is taken over; stat(2) shows the file that is really there
 *   FAKE_SIZE     WIDTHxHEIGHT of the only format, YUYV; the default is 640x480
 *   FAKE_USERPTR  0: the driver has no USERPTR, as v4l2loopback has none
 *   FAKE_COUNTERS a file of counters.h
 *
 * S_PARM sets the rate. Before that, and after S_PARM with 0/0, a buffer is done as soon as it is queued.
 *
 * Limits: the ABI must have SYS_mmap. There is one queue; the file that asked for buffers owns it. A descriptor that dup
 * made is not the node, and a program that makes system calls by itself passes the fake by.
 */
#pragma once

#include <linux/videodev2.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "counters.h"

#define HIDDEN __attribute__((visibility("hidden")))

enum { MAX_BUFFERS = 32 };
enum state { IDLE, QUEUED, DONE };

struct buffer {
  struct v4l2_buffer record; /* as QUERYBUF shows it, without the flags of its state */
  enum state state;
  bool prepared;
  int memory; /* a memfd, for MMAP; -1: none */
  void *bytes;
};

struct fifo {
  uint32_t first, count;
  uint32_t index[MAX_BUFFERS];
};

struct node {
  pthread_mutex_t lock;
  const char *path;
  bool userptr;
  struct v4l2_pix_format format;
  struct v4l2_fract period; /* numerator 0: a buffer is done as soon as it is queued */
  int brightness;
  int owner; /* descriptor of the file that has the buffers; -1: none */
  uint32_t count;
  struct buffer buffers[MAX_BUFFERS];
  struct fifo queued, done;
  bool streaming;
  uint32_t sequence;
  pthread_t clock;
  int timer;
};

extern struct node node HIDDEN;
extern struct counters *counters HIDDEN;

/* Everything below is called with the lock held. */

HIDDEN void put(struct fifo *fifo, uint32_t index);
HIDDEN uint32_t take(struct fifo *fifo);
/* Makes the descriptor unreadable again: no buffer is done. */
HIDDEN void clear_readiness(int fd);
/* Completes what is queued, if there is no rate. */
HIDDEN void complete_all(void);
HIDDEN void start_clock(void);
/* Lets the lock go while it waits for the clock's thread. */
HIDDEN void stop_streaming(void);
HIDDEN void free_buffers(void);
/* An errno. */
HIDDEN int make_buffer(uint32_t index, uint32_t memory);

/* An ioctl returns an errno. */
typedef int node_ioctl(int fd, void *argument);
HIDDEN node_ioctl request_buffers, query_buffer, prepare_buffer, queue_buffer, dequeue_buffer, export_buffer, stream_on, stream_off;

/* Takes the lock itself. Counts the call, and makes a real one. Returns an errno. */
HIDDEN int run_ioctl(int fd, unsigned request, void *argument);
