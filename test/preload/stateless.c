/*
 * A program of the media request API that uses only the kernel. It decodes a FWHT stream on a stateless
 * decoder, with one request for each frame.
 *   stateless VIDEO MEDIA RAW-FOURCC INPUT OUTPUT
 * The pictures go to OUTPUT. Standard output shows the other answers of the kernel, which are the same in
 * every run.
 */
#define _GNU_SOURCE
#include "stateless.h"

#include <endian.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <unistd.h>

enum { kDepth = 3, kCaptures = 6, kPatience = 10000, kHeaderWords = 11 };

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void must(int result, const char *what) {
  if (result < 0) fail(what);
}

void show(const char *what, int result) {
  printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "ok");
}

/* Queues. */

static void set_format(const struct decoder *d, const struct queue *q, uint32_t fourcc, uint32_t width, uint32_t height) {
  struct v4l2_format format = {.type = q->type};
  if (d->planes) {
    format.fmt.pix_mp.pixelformat = fourcc;
    format.fmt.pix_mp.width = width;
    format.fmt.pix_mp.height = height;
    format.fmt.pix_mp.num_planes = 1;
  } else {
    format.fmt.pix.pixelformat = fourcc;
    format.fmt.pix.width = width;
    format.fmt.pix.height = height;
  }
  must(ioctl(d->video, VIDIOC_S_FMT, &format), "S_FMT");
  if (format.fmt.pix.pixelformat != fourcc) errno = EINVAL, fail("S_FMT took another format");
}

static struct v4l2_buffer buffer_of(const struct decoder *d, const struct queue *q, uint32_t index, struct v4l2_plane *plane) {
  struct v4l2_buffer buffer = {.type = q->type, .index = index, .memory = V4L2_MEMORY_MMAP};
  memset(plane, 0, sizeof *plane);
  if (d->planes) buffer.m.planes = plane, buffer.length = 1;
  return buffer;
}

static void make_buffers(const struct decoder *d, struct queue *q, uint32_t count) {
  struct v4l2_requestbuffers request = {.type = q->type, .memory = V4L2_MEMORY_MMAP, .count = count};
  must(ioctl(d->video, VIDIOC_REQBUFS, &request), "REQBUFS");
  printf("REQBUFS of type %u: %s\n", q->type,
         request.capabilities & V4L2_BUF_CAP_SUPPORTS_REQUESTS ? "takes requests" : "no requests");
  q->count = request.count;
  for (uint32_t i = 0; i < q->count; i++) {
    struct v4l2_plane plane;
    struct v4l2_buffer buffer = buffer_of(d, q, i, &plane);
    must(ioctl(d->video, VIDIOC_QUERYBUF, &buffer), "QUERYBUF");
    q->length = d->planes ? plane.length : buffer.length;
    const uint32_t offset = d->planes ? plane.m.mem_offset : buffer.m.offset;
    q->map[i] = mmap(NULL, q->length, PROT_READ | PROT_WRITE, MAP_SHARED, d->video, offset);
    if (q->map[i] == MAP_FAILED) fail("mmap");
  }
}

int queue_buffer(const struct decoder *d, const struct queue *q, uint32_t index, uint32_t bytes, uint32_t stamp, int request) {
  struct v4l2_plane plane;
  struct v4l2_buffer buffer = buffer_of(d, q, index, &plane);
  buffer.timestamp.tv_usec = stamp;
  if (d->planes)
    plane.bytesused = bytes;
  else
    buffer.bytesused = bytes;
  if (request != kNoRequest) buffer.flags = V4L2_BUF_FLAG_REQUEST_FD, buffer.request_fd = request;
  const int result = ioctl(d->video, VIDIOC_QBUF, &buffer);
  if (result == 0 && request != kNoRequest && buffer.request_fd != request) errno = EPROTO, fail("QBUF's request_fd");
  return result;
}

/* Prints what QUERYBUF says about a buffer and its request. `request`: the request that the buffer is in. */
void show_buffer(const struct decoder *d, const struct queue *q, uint32_t index, int request, const char *when) {
  struct v4l2_plane plane;
  struct v4l2_buffer buffer = buffer_of(d, q, index, &plane);
  must(ioctl(d->video, VIDIOC_QUERYBUF, &buffer), "QUERYBUF");
  const char *whose = buffer.request_fd == request ? "this request" : buffer.request_fd ? "another" : "none";
  printf("%s: flags %#x, request_fd: %s\n", when, buffer.flags, buffer.flags & V4L2_BUF_FLAG_REQUEST_FD ? whose : "-");
}

static struct v4l2_buffer dequeue(const struct decoder *d, const struct queue *q, struct v4l2_plane *plane) {
  struct v4l2_buffer buffer = buffer_of(d, q, 0, plane);
  must(ioctl(d->video, VIDIOC_DQBUF, &buffer), "DQBUF");
  if (buffer.flags & V4L2_BUF_FLAG_ERROR) errno = EIO, fail("a damaged picture");
  return buffer;
}

/* Requests. */

int use_control(const struct decoder *d, unsigned long code, int request, struct v4l2_ctrl_fwht_params *params) {
  struct v4l2_ext_control control = {.id = V4L2_CID_STATELESS_FWHT_PARAMS, .size = sizeof *params, .ptr = params};
  struct v4l2_ext_controls controls = {.which = V4L2_CTRL_WHICH_REQUEST_VAL, .request_fd = request, .count = 1};
  controls.controls = &control;
  const int result = ioctl(d->video, code, &controls);
  if (controls.request_fd != request) errno = EPROTO, fail("the request_fd of controls");
  return result;
}

int poll_request(int request, int milliseconds) {
  struct pollfd fd = {.fd = request, .events = POLLPRI};
  must(poll(&fd, 1, milliseconds), "poll");
  return fd.revents;
}

/* Checks that select and epoll agree with poll. */
static void await_complete(int request) {
  struct epoll_event event = {.events = EPOLLPRI, .data.fd = request};
  fd_set except;
  struct timeval none = {0, 0};
  if (poll_request(request, kPatience) != POLLPRI) errno = ETIME, fail("poll of a request");
  FD_ZERO(&except);
  FD_SET(request, &except);
  if (select(request + 1, NULL, NULL, &except, &none) != 1) errno = EPROTO, fail("select of a request");
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  must(epoll_ctl(epoll, EPOLL_CTL_ADD, request, &event), "epoll_ctl");
  if (epoll_wait(epoll, &event, 1, 0) != 1 || event.events != EPOLLPRI) errno = EPROTO, fail("epoll of a request");
  close(epoll);
}

/* Frames. */

/*
 * Reads the next frame of the stream; 0: there is none. A frame starts with two magic words. All eleven words
 * are big-endian.
 */
static int next_frame(FILE *stream, struct frame *frame) {
  uint32_t words[kHeaderWords];
  if (fread(words, sizeof words, 1, stream) != 1) return 0;
  for (int i = 0; i < kHeaderWords; i++) words[i] = be32toh(words[i]);
  const struct v4l2_ctrl_fwht_params params = {.version = words[2], .width = words[3], .height = words[4], .flags = words[5],
    .colorspace = words[6], .xfer_func = words[7], .ycbcr_enc = words[8], .quantization = words[9]};
  frame->params = params;
  frame->bytes = words[10];
  if (words[0] != 0x4f4f4f4f || frame->bytes > sizeof frame->data) errno = EILSEQ, fail("the stream");
  return fread(frame->data, 1, frame->bytes, stream) == frame->bytes;
}

void submit(struct decoder *d, struct frame *frame, uint32_t number) {
  const int slot = number % kDepth;
  if (!(frame->params.flags & V4L2_FWHT_FL_I_FRAME)) frame->params.backward_ref_ts = number * 1000ull;
  d->params[slot] = frame->params;
  must(use_control(d, VIDIOC_S_EXT_CTRLS, d->requests[slot], &frame->params), "S_EXT_CTRLS");
  memcpy(d->output.map[slot], frame->data, frame->bytes);
  must(queue_buffer(d, &d->output, slot, frame->bytes, number + 1, d->requests[slot]), "QBUF");
  must(ioctl(d->requests[slot], MEDIA_REQUEST_IOC_QUEUE), "QUEUE");
}

void collect(struct decoder *d, uint32_t number) {
  const int request = d->requests[number % kDepth];
  struct v4l2_ctrl_fwht_params params = {0};
  struct v4l2_plane plane;
  await_complete(request);
  must(use_control(d, VIDIOC_G_EXT_CTRLS, request, &params), "G_EXT_CTRLS");
  if (memcmp(&params, &d->params[number % kDepth], sizeof params)) errno = EPROTO, fail("the values of a request");
  const struct v4l2_buffer out = dequeue(d, &d->output, &plane);
  if (out.request_fd != request || !(out.flags & V4L2_BUF_FLAG_REQUEST_FD)) errno = EPROTO, fail("DQBUF's request_fd");
  const struct v4l2_buffer in = dequeue(d, &d->capture, &plane);
  if (in.timestamp.tv_usec != number + 1) errno = EPROTO, fail("a picture out of its turn");
  printf("picture %u: OUTPUT %u flags %#x, CAPTURE %u flags %#x\n", number, out.index, out.flags, in.index, in.flags);
  const uint32_t bytes = d->planes ? plane.bytesused : in.bytesused;
  if (fwrite(d->capture.map[in.index], 1, bytes, d->pictures) != bytes) fail("write");
  /* The next picture is predicted from this one. The previous one is not needed any more. */
  if (d->before >= 0) must(queue_buffer(d, &d->capture, d->before, 0, 0, kNoRequest), "QBUF");
  d->before = in.index;
  must(ioctl(request, MEDIA_REQUEST_IOC_REINIT), "REINIT");
}

static void decode(struct decoder *d, FILE *stream, struct frame *frame) {
  uint32_t fed = 0, done = 0;
  do {
    submit(d, frame, fed++);
    if (fed - done == kDepth) collect(d, done++);
  } while (next_frame(stream, frame));
  while (done < fed) collect(d, done++);
}

static void set_up(struct decoder *d, char **arguments, const struct frame *frame) {
  struct v4l2_capability capability;
  d->video = open(arguments[1], O_RDWR | O_NONBLOCK | O_CLOEXEC);
  d->media = open(arguments[2], O_RDWR | O_CLOEXEC);
  must(d->video, arguments[1]);
  must(d->media, arguments[2]);
  must(ioctl(d->video, VIDIOC_QUERYCAP, &capability), "QUERYCAP");
  d->planes = (capability.device_caps & V4L2_CAP_VIDEO_M2M_MPLANE) != 0;
  d->output.type = d->planes ? V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE : V4L2_BUF_TYPE_VIDEO_OUTPUT;
  d->capture.type = d->planes ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE : V4L2_BUF_TYPE_VIDEO_CAPTURE;
  const uint8_t *raw = (const uint8_t *)arguments[3];
  set_format(d, &d->output, V4L2_PIX_FMT_FWHT_STATELESS, frame->params.width, frame->params.height);
  set_format(d, &d->capture, v4l2_fourcc(raw[0], raw[1], raw[2], raw[3]), frame->params.width, frame->params.height);
  make_buffers(d, &d->output, kDepth);
  make_buffers(d, &d->capture, kCaptures);
  for (int i = 0; i < kDepth; i++) must(ioctl(d->media, MEDIA_IOC_REQUEST_ALLOC, &d->requests[i]), "REQUEST_ALLOC");
  d->before = -1;
}

int main(int count, char **arguments) {
  static struct frame frame;
  static struct decoder decoder;
  struct decoder *const d = &decoder;
  if (count != 6) return fprintf(stderr, "stateless VIDEO MEDIA RAW-FOURCC INPUT OUTPUT\n"), 2;
  FILE *stream = fopen(arguments[4], "rb");
  d->pictures = fopen(arguments[5], "wb");
  if (!stream || !d->pictures || !next_frame(stream, &frame)) fail(arguments[4]);
  set_up(d, arguments, &frame);
  show_media(d);
  show_refusals(d, &frame);
  for (uint32_t i = 0; i < d->capture.count; i++) must(queue_buffer(d, &d->capture, i, 0, 0, kNoRequest), "QBUF");
  must(ioctl(d->video, VIDIOC_STREAMON, &d->output.type), "STREAMON");
  must(ioctl(d->video, VIDIOC_STREAMON, &d->capture.type), "STREAMON");
  decode(d, stream, &frame);
  show_stop(d, &frame);
  show("CLOSE of a request", close(d->requests[0]));
  return fclose(d->pictures) == 0 ? 0 : 1;
}
