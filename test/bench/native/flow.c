/*
 * flow DEVICE FRAMES: streams a capture node or a mem-to-mem node at its highest rate, through four buffers of each
 * queue, as a program of a guest or of the host. It prints lines of series.h; times are microseconds.
 *
 *   rate     frames a second
 *   lost     frames that the driver counted and the program did not get
 *   p50 ...  from the buffer's timestamp (the end of a frame, or the QBUF of what is converted) to the end of DQBUF
 *   bytes    of a frame
 */
#include <linux/videodev2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "node.h"
#include "series.h"

enum { BUFFERS = 4 };

struct queue {
  enum v4l2_buf_type type;
  void *bytes[BUFFERS];
  size_t lengths[BUFFERS];
};

/* Of a picture that is converted. */
static uint32_t picture_bytes;

/* The smallest frame has the shortest interval. A node without intervals has the rate that it has. */
static void choose_rate(void) {
  struct v4l2_format format = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
  struct v4l2_frmsizeenum size = {0};
  must(VIDIOC_G_FMT, &format, "G_FMT");
  size.pixel_format = format.fmt.pix.pixelformat;
  if (ioctl(device, VIDIOC_ENUM_FRAMESIZES, &size) == 0 && size.type == V4L2_FRMSIZE_TYPE_DISCRETE) {
    format.fmt.pix.width = size.discrete.width;
    format.fmt.pix.height = size.discrete.height;
    must(VIDIOC_S_FMT, &format, "S_FMT");
  }
  struct v4l2_streamparm parameters = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
  parameters.parm.capture.timeperframe = (struct v4l2_fract){1, 1000};
  must(VIDIOC_S_PARM, &parameters, "S_PARM");
}

static void queue_buffer(enum v4l2_buf_type type, uint32_t index) {
  struct v4l2_buffer buffer = {.index = index, .type = type, .memory = V4L2_MEMORY_MMAP};
  if (V4L2_TYPE_IS_OUTPUT(type)) {
    const double at = now();
    buffer.timestamp = (struct timeval){(time_t)(at / 1e6), (suseconds_t)((long long)at % 1000000)};
    buffer.bytesused = picture_bytes;
  }
  must(VIDIOC_QBUF, &buffer, "QBUF");
}

static void start(struct queue *queue) {
  struct v4l2_format format = {.type = queue->type};
  must(VIDIOC_G_FMT, &format, "G_FMT");
  picture_bytes = V4L2_TYPE_IS_OUTPUT(queue->type) ? format.fmt.pix.sizeimage : picture_bytes;
  struct v4l2_requestbuffers request = {.count = BUFFERS, .type = queue->type, .memory = V4L2_MEMORY_MMAP};
  must(VIDIOC_REQBUFS, &request, "REQBUFS");
  if (request.count != BUFFERS) fprintf(stderr, "flow: REQBUFS gave %u buffers\n", request.count), exit(1);
  for (uint32_t i = 0; i < BUFFERS; i++) {
    struct v4l2_buffer buffer = {.index = i, .type = queue->type, .memory = V4L2_MEMORY_MMAP};
    must(VIDIOC_QUERYBUF, &buffer, "QUERYBUF");
    queue->lengths[i] = buffer.length;
    queue->bytes[i] = mmap(NULL, buffer.length, PROT_READ | PROT_WRITE, MAP_SHARED, device, buffer.m.offset);
    if (queue->bytes[i] == MAP_FAILED) fail("mmap");
    queue_buffer(queue->type, i);
  }
  must(VIDIOC_STREAMON, &queue->type, "STREAMON");
}

static void stop(struct queue *queue) {
  must(VIDIOC_STREAMOFF, &queue->type, "STREAMOFF");
  for (uint32_t i = 0; i < BUFFERS; i++) munmap(queue->bytes[i], queue->lengths[i]);
}

static struct v4l2_buffer dequeue(const struct queue *queue) {
  struct v4l2_buffer buffer = {.type = queue->type, .memory = V4L2_MEMORY_MMAP};
  must(VIDIOC_DQBUF, &buffer, "DQBUF");
  return buffer;
}

/* Passes frames on, and returns how many the driver counted. */
static double pass(const struct queue *capture, const struct queue *output, long count, struct series *delay) {
  uint32_t first = 0, last = 0;
  for (long i = 0; i < count; i++) {
    const struct v4l2_buffer frame = dequeue(capture);
    if (delay) add(delay, now() - (frame.timestamp.tv_sec * 1e6 + frame.timestamp.tv_usec));
    if (i == 0) first = frame.sequence;
    last = frame.sequence;
    if (output) queue_buffer(output->type, dequeue(output).index);
    queue_buffer(capture->type, frame.index);
  }
  return (double)(last - first) + 1;
}

int main(int words, char **word) {
  const long count = words == 3 ? atol(word[2]) : 0;
  if (count < 1) return fprintf(stderr, "usage: flow DEVICE FRAMES\n"), 2;
  struct v4l2_capability capability;
  device = open_device(word[1]);
  must(VIDIOC_QUERYCAP, &capability, "QUERYCAP");
  const bool converts = capability.device_caps & V4L2_CAP_VIDEO_M2M;
  struct queue output = {.type = V4L2_BUF_TYPE_VIDEO_OUTPUT}, capture = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
  if (!converts) choose_rate();
  if (converts) start(&output);
  start(&capture);
  struct queue *const from = converts ? &output : NULL;
  struct series delay = new_series(count);
  pass(&capture, from, count / 10 + 1, NULL);
  const double begun = now();
  const double counted = pass(&capture, from, count, &delay);
  const double elapsed = now() - begun;
  tell("flow", "bytes", (double)capture.lengths[0]);
  stop(&capture);
  if (converts) stop(&output);
  report("flow", "", &delay);
  tell("flow", "rate", count / elapsed * 1e6);
  tell("flow", "lost", counted - (double)count);
  return 0;
}
