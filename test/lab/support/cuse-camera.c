#define _GNU_SOURCE
#include "cuse-camera.h"

#include <errno.h>
#include <linux/videodev2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define WIDTH 64
#define HEIGHT 32
#define FRAME_BYTES (WIDTH * HEIGHT)
#define BUFFERS 8

enum state { IDLE, QUEUED, DONE };

struct slot {
  enum state state;
  unsigned long address;
  unsigned sequence;
  struct timeval time;
};

struct camera_file {
  int memory;
};

/* The only queue, and the file that owns it. */
static struct camera_file *owner;
static struct slot slots[BUFFERS];
/* Indices of the buffers in the order of QBUF. */
static unsigned order[BUFFERS], queued;
static unsigned count, sequence;
static bool streaming;

struct camera_file *camera_open(int memory) {
  struct camera_file *file = malloc(sizeof *file);
  file->memory = memory;
  return file;
}

static void stop(void) {
  streaming = false;
  queued = 0;
  for (unsigned i = 0; i < BUFFERS; i++) slots[i].state = IDLE;
}

void camera_close(struct camera_file *file) {
  if (owner == file) {
    stop();
    owner = NULL;
  }
  close(file->memory);
  free(file);
}

static int query_capabilities(struct camera_file *file, void *data) {
  (void)file;
  struct v4l2_capability *capability = data;
  memset(capability, 0, sizeof *capability);
  strcpy((char *)capability->driver, "cuse-camera");
  strcpy((char *)capability->card, "CUSE camera");
  strcpy((char *)capability->bus_info, "platform:cuse");
  capability->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
  capability->capabilities = capability->device_caps | V4L2_CAP_DEVICE_CAPS;
  return 0;
}

static int enumerate_formats(struct camera_file *file, void *data) {
  (void)file;
  struct v4l2_fmtdesc *format = data;
  if (format->index > 0 || format->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return -EINVAL;
  strcpy((char *)format->description, "Greyscale");
  format->pixelformat = V4L2_PIX_FMT_GREY;
  return 0;
}

/* G_FMT, S_FMT, TRY_FMT: there is only one format. */
static int format(struct camera_file *file, void *data) {
  (void)file;
  struct v4l2_format *format = data;
  if (format->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return -EINVAL;
  memset(&format->fmt, 0, sizeof format->fmt);
  format->fmt.pix = (struct v4l2_pix_format){.width = WIDTH,
                                             .height = HEIGHT,
                                             .pixelformat = V4L2_PIX_FMT_GREY,
                                             .field = V4L2_FIELD_NONE,
                                             .bytesperline = WIDTH,
                                             .sizeimage = FRAME_BYTES,
                                             .colorspace = V4L2_COLORSPACE_SRGB};
  return 0;
}

static int request_buffers(struct camera_file *file, void *data) {
  struct v4l2_requestbuffers *request = data;
  if (request->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || request->memory != V4L2_MEMORY_USERPTR) return -EINVAL;
  if (owner && owner != file) return -EBUSY;
  stop();
  count = request->count < BUFFERS ? request->count : BUFFERS;
  owner = count > 0 ? file : NULL;
  request->count = count;
  request->capabilities = V4L2_BUF_CAP_SUPPORTS_USERPTR;
  return 0;
}

static int buffer_of(struct camera_file *file, const struct v4l2_buffer *buffer) {
  if (buffer->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || buffer->index >= count) return -EINVAL;
  return owner == file ? 0 : -EBUSY;
}

static void describe(unsigned index, struct v4l2_buffer *buffer) {
  static const unsigned flags[] = {[IDLE] = 0, [QUEUED] = V4L2_BUF_FLAG_QUEUED, [DONE] = V4L2_BUF_FLAG_DONE};
  const struct slot *slot = &slots[index];
  buffer->index = index;
  buffer->flags = flags[slot->state] | V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
  buffer->bytesused = slot->state == QUEUED ? 0 : FRAME_BYTES;
  buffer->field = V4L2_FIELD_NONE;
  buffer->length = FRAME_BYTES;
  buffer->memory = V4L2_MEMORY_USERPTR;
  buffer->m.userptr = slot->address;
  buffer->sequence = slot->sequence;
  buffer->timestamp = slot->time;
}

/* QUERYBUF and PREPARE_BUF; here the latter changes nothing. */
static int query_buffer(struct camera_file *file, void *data) {
  struct v4l2_buffer *buffer = data;
  const int error = buffer_of(file, buffer);
  if (error == 0) describe(buffer->index, buffer);
  return error;
}

static int queue_buffer(struct camera_file *file, void *data) {
  struct v4l2_buffer *buffer = data;
  const int error = buffer_of(file, buffer);
  if (error != 0) return error;
  if (buffer->memory != V4L2_MEMORY_USERPTR || buffer->length < FRAME_BYTES) return -EINVAL;
  struct slot *slot = &slots[buffer->index];
  if (slot->state != IDLE) return -EINVAL;
  *slot = (struct slot){.state = QUEUED, .address = buffer->m.userptr};
  order[queued++] = buffer->index;
  describe(buffer->index, buffer);
  return 0;
}

static int oldest(enum state state) {
  for (unsigned i = 0; i < queued; i++)
    if (slots[order[i]].state == state) return (int)i;
  return -1;
}

static int dequeue_buffer(struct camera_file *file, void *data) {
  if (owner != file || !streaming) return -EINVAL;
  const int at = oldest(DONE);
  if (at < 0) return -EAGAIN;
  const unsigned index = order[at];
  memmove(&order[at], &order[at + 1], (--queued - (unsigned)at) * sizeof order[0]);
  slots[index].state = IDLE;
  describe(index, data);
  return 0;
}

static int stream_on(struct camera_file *file, void *data) {
  (void)data;
  if (owner != file) return -EINVAL;
  streaming = true;
  return 0;
}

static int stream_off(struct camera_file *file, void *data) {
  (void)data;
  if (owner == file) stop();
  return 0;
}

static const struct {
  unsigned command;
  int (*run)(struct camera_file *, void *);
} commands[] = {
    {VIDIOC_QUERYCAP, query_capabilities},
    {VIDIOC_ENUM_FMT, enumerate_formats},
    {VIDIOC_G_FMT, format},
    {VIDIOC_S_FMT, format},
    {VIDIOC_TRY_FMT, format},
    {VIDIOC_REQBUFS, request_buffers},
    {VIDIOC_QUERYBUF, query_buffer},
    {VIDIOC_PREPARE_BUF, query_buffer},
    {VIDIOC_QBUF, queue_buffer},
    {VIDIOC_DQBUF, dequeue_buffer},
    {VIDIOC_STREAMON, stream_on},
    {VIDIOC_STREAMOFF, stream_off},
};

int camera_ioctl(struct camera_file *file, unsigned command, void *data) {
  for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
    if (commands[i].command == command) return commands[i].run(file, data);
  return -ENOTTY;
}

unsigned camera_ready(const struct camera_file *file) {
  if (owner != file || !streaming) return EPOLLERR;
  return oldest(DONE) < 0 ? 0 : EPOLLIN;
}

/* Every byte of a frame is its sequence number. */
struct camera_file *camera_tick(void) {
  if (!streaming) return NULL;
  const int at = oldest(QUEUED);
  sequence++;
  if (at < 0) return NULL;
  struct slot *slot = &slots[order[at]];
  unsigned char frame[FRAME_BYTES];
  memset(frame, (int)sequence, sizeof frame);
  if (pwrite(owner->memory, frame, sizeof frame, (off_t)slot->address) != (ssize_t)sizeof frame) return NULL;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  slot->state = DONE;
  slot->sequence = sequence;
  slot->time = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
  return owner;
}
