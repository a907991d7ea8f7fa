/* This is a fake: the fake node's ioctls of formats, controls, inputs and events, and the table of all ioctls. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "fake_node.h"

enum { MAX_TUNING_MS = 10000 };

static int query_capabilities(int fd, void *argument) {
  struct v4l2_capability *capability = argument;
  *capability = (struct v4l2_capability){
      .driver = "fakenode", .card = "Fake camera", .bus_info = "platform:fakenode", .version = 6 << 16,
      .device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_EXT_PIX_FORMAT};
  capability->capabilities = capability->device_caps | V4L2_CAP_DEVICE_CAPS;
  return (void)fd, 0;
}

static int enumerate_formats(int fd, void *argument) {
  struct v4l2_fmtdesc *description = argument;
  if (description->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || description->index > 0) return EINVAL;
  *description = (struct v4l2_fmtdesc){
      .type = description->type, .description = "YUYV 4:2:2", .pixelformat = V4L2_PIX_FMT_YUYV};
  return (void)fd, 0;
}

static int enumerate_sizes(int fd, void *argument) {
  struct v4l2_frmsizeenum *size = argument;
  if (size->index > 0 || size->pixel_format != V4L2_PIX_FMT_YUYV) return EINVAL;
  size->type = V4L2_FRMSIZE_TYPE_DISCRETE;
  size->discrete = (struct v4l2_frmsize_discrete){node.format.width, node.format.height};
  return (void)fd, 0;
}

/* The one format that there is, whatever was asked for. */
static int tell_format(int fd, void *argument) {
  struct v4l2_format *format = argument;
  if (format->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return EINVAL;
  memset(&format->fmt, 0, sizeof format->fmt);
  format->fmt.pix = node.format;
  return (void)fd, 0;
}

static int set_format(int fd, void *argument) { return node.count > 0 ? EBUSY : tell_format(fd, argument); }

static int get_rate(int fd, void *argument) {
  struct v4l2_streamparm *parameters = argument;
  if (parameters->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return EINVAL;
  memset(&parameters->parm, 0, sizeof parameters->parm);
  parameters->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
  parameters->parm.capture.timeperframe = node.period;
  return (void)fd, 0;
}

static int set_rate(int fd, void *argument) {
  const struct v4l2_streamparm *parameters = argument;
  const struct v4l2_fract wanted = parameters->parm.capture.timeperframe;
  if (node.streaming) return EBUSY;
  if (parameters->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return EINVAL;
  node.period = wanted.numerator && wanted.denominator ? wanted : (struct v4l2_fract){0, 0};
  return get_rate(fd, argument);
}

static int get_control(int fd, void *argument) {
  struct v4l2_control *control = argument;
  if (control->id != V4L2_CID_BRIGHTNESS) return EINVAL;
  control->value = node.brightness;
  return (void)fd, 0;
}

static int set_control(int fd, void *argument) {
  const struct v4l2_control *control = argument;
  if (control->id != V4L2_CID_BRIGHTNESS) return EINVAL;
  if (control->value < 0 || control->value > 255) return ERANGE;
  node.brightness = control->value;
  return (void)fd, 0;
}

/* Whether a query with this id is answered with the one control. */
static bool means_control(uint32_t id) {
  const uint32_t flags = V4L2_CTRL_FLAG_NEXT_CTRL;
  return id & flags ? (id & ~(flags | V4L2_CTRL_FLAG_NEXT_COMPOUND)) < V4L2_CID_BRIGHTNESS : id == V4L2_CID_BRIGHTNESS;
}

static int query_control(int fd, void *argument) {
  struct v4l2_queryctrl *control = argument;
  if (!means_control(control->id)) return EINVAL;
  *control = (struct v4l2_queryctrl){.id = V4L2_CID_BRIGHTNESS, .type = V4L2_CTRL_TYPE_INTEGER, .name = "Brightness",
                                     .maximum = 255, .step = 1, .default_value = 128, .flags = V4L2_CTRL_FLAG_SLIDER};
  return (void)fd, 0;
}

static int query_extended_control(int fd, void *argument) {
  struct v4l2_query_ext_ctrl *control = argument;
  if (!means_control(control->id)) return EINVAL;
  *control = (struct v4l2_query_ext_ctrl){.id = V4L2_CID_BRIGHTNESS, .type = V4L2_CTRL_TYPE_INTEGER, .name = "Brightness",
                                          .maximum = 255, .step = 1, .default_value = 128,
                                          .flags = V4L2_CTRL_FLAG_SLIDER, .elem_size = 4, .elems = 1};
  return (void)fd, 0;
}

/* Integers alone: nothing has a payload. */
static int run_controls(void *argument, bool set) {
  struct v4l2_ext_controls *controls = argument;
  for (uint32_t i = 0; i < controls->count; i++) {
    struct v4l2_ext_control *control = &controls->controls[i];
    const bool out_of_range = set && (control->value < 0 || control->value > 255);
    controls->error_idx = i;
    if (control->id != V4L2_CID_BRIGHTNESS) return EINVAL;
    if (out_of_range) return ERANGE;
    if (!set) control->value = node.brightness;
  }
  return 0;
}

static int get_controls(int fd, void *argument) { return (void)fd, run_controls(argument, false); }

static int try_controls(int fd, void *argument) { return (void)fd, run_controls(argument, true); }

static int set_controls(int fd, void *argument) {
  const struct v4l2_ext_controls *controls = argument;
  const int error = try_controls(fd, argument);
  if (error == 0 && controls->count > 0) node.brightness = controls->controls[controls->count - 1].value;
  return error;
}

static int enumerate_inputs(int fd, void *argument) {
  struct v4l2_input *input = argument;
  if (input->index > 0) return EINVAL;
  *input = (struct v4l2_input){.name = "Camera 1", .type = V4L2_INPUT_TYPE_CAMERA};
  return (void)fd, 0;
}

static int get_input(int fd, void *argument) {
  *(int *)argument = 0;
  return (void)fd, 0;
}

/* A tuner that takes as many milliseconds as its new frequency says. It holds nobody else up. */
static int set_frequency(int fd, void *argument) {
  const struct v4l2_frequency *wanted = argument;
  const struct timespec while_it_tunes = {wanted->frequency / 1000, wanted->frequency % 1000 * 1000000L};
  if (wanted->tuner > 0 || wanted->frequency > MAX_TUNING_MS) return EINVAL;
  pthread_mutex_unlock(&node.lock);
  nanosleep(&while_it_tunes, NULL);
  pthread_mutex_lock(&node.lock);
  return (void)fd, 0;
}

static int set_input(int fd, void *argument) { return (void)fd, *(int *)argument == 0 ? 0 : EINVAL; }

static int subscribe(int fd, void *argument) {
  const struct v4l2_event_subscription *subscription = argument;
  return (void)fd, subscription->type == V4L2_EVENT_CTRL && subscription->id == V4L2_CID_BRIGHTNESS ? 0 : EINVAL;
}

static int unsubscribe(int fd, void *argument) { return (void)fd, (void)argument, 0; }

static int dequeue_event(int fd, void *argument) { return (void)fd, (void)argument, ENOENT; }

static const struct row {
  unsigned request;
  int (*run)(int fd, void *argument);
} rows[] = {
    {VIDIOC_QUERYCAP, query_capabilities}, {VIDIOC_ENUM_FMT, enumerate_formats},
    {VIDIOC_ENUM_FRAMESIZES, enumerate_sizes}, {VIDIOC_G_FMT, tell_format},
    {VIDIOC_S_FMT, set_format}, {VIDIOC_TRY_FMT, tell_format},
    {VIDIOC_G_PARM, get_rate}, {VIDIOC_S_PARM, set_rate},
    {VIDIOC_G_CTRL, get_control}, {VIDIOC_S_CTRL, set_control},
    {VIDIOC_QUERYCTRL, query_control}, {VIDIOC_QUERY_EXT_CTRL, query_extended_control},
    {VIDIOC_G_EXT_CTRLS, get_controls}, {VIDIOC_S_EXT_CTRLS, set_controls},
    {VIDIOC_TRY_EXT_CTRLS, try_controls}, {VIDIOC_ENUMINPUT, enumerate_inputs},
    {VIDIOC_G_INPUT, get_input}, {VIDIOC_S_INPUT, set_input},
    {VIDIOC_S_FREQUENCY, set_frequency},
    {VIDIOC_REQBUFS, request_buffers}, {VIDIOC_QUERYBUF, query_buffer},
    {VIDIOC_QBUF, queue_buffer}, {VIDIOC_DQBUF, dequeue_buffer}, {VIDIOC_PREPARE_BUF, prepare_buffer},
    {VIDIOC_EXPBUF, export_buffer}, {VIDIOC_STREAMON, stream_on},
    {VIDIOC_STREAMOFF, stream_off}, {VIDIOC_SUBSCRIBE_EVENT, subscribe},
    {VIDIOC_UNSUBSCRIBE_EVENT, unsubscribe}, {VIDIOC_DQEVENT, dequeue_event},
};

int run_ioctl(int fd, unsigned request, void *argument) {
  /* An eventfd has no ioctls. The kernel answers ENOTTY, after all the way into it. */
  syscall(SYS_ioctl, fd, request, argument);
  if (_IOC_TYPE(request) == 'V' && _IOC_NR(request) < COUNTED_CALLS)
    atomic_fetch_add(&counters->calls[_IOC_NR(request)], 1);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (rows[i].request != request) continue;
    pthread_mutex_lock(&node.lock);
    const int error = rows[i].run(fd, argument);
    pthread_mutex_unlock(&node.lock);
    return error;
  }
  return ENOTTY;
}
