/* What stateless.c tests besides decoding: refusals, states and the end of a stream. */
#include "stateless.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

void show_media(const struct decoder *d) {
  struct media_device_info info = {0};
  struct media_v2_topology topology = {0};
  struct media_link_desc link = {0};
  show("DEVICE_INFO", ioctl(d->media, MEDIA_IOC_DEVICE_INFO, &info));
  show("G_TOPOLOGY", ioctl(d->media, MEDIA_IOC_G_TOPOLOGY, &topology));
  printf("%s: %u entities, %u interfaces, %u pads, %u links\n", info.driver, topology.num_entities, topology.num_interfaces,
         topology.num_pads, topology.num_links);
  show("SETUP_LINK is refused", -(ioctl(d->media, MEDIA_IOC_SETUP_LINK, &link) == 0));
  show("a V4L2 ioctl on the media device", ioctl(d->media, VIDIOC_STREAMON, &d->output.type));
}

/* Called before the stream. None of these calls may change the later decoding. */
void show_refusals(struct decoder *d, struct frame *frame) {
  struct v4l2_ctrl_fwht_params params = frame->params;
  const int request = d->requests[0], copy = dup(request);
  char byte;
  printf("poll of an idle request: %#x\n", poll_request(request, 0));
  show("QUEUE of an empty request", ioctl(request, MEDIA_REQUEST_IOC_QUEUE));
  show("REINIT of an idle request", ioctl(request, MEDIA_REQUEST_IOC_REINIT));
  show("an unknown ioctl of a request", ioctl(request, VIDIOC_STREAMON, &d->output.type));
  show("read of a request", read(request, &byte, 1));
  show("S_EXT_CTRLS in no request", use_control(d, VIDIOC_S_EXT_CTRLS, -1, &params));
  show("S_EXT_CTRLS in another file", use_control(d, VIDIOC_S_EXT_CTRLS, d->video, &params));
  show("G_EXT_CTRLS of an idle request", use_control(d, VIDIOC_G_EXT_CTRLS, request, &params));
  show("TRY_EXT_CTRLS", use_control(d, VIDIOC_TRY_EXT_CTRLS, request, &params));
  show("QBUF in no request", queue_buffer(d, &d->output, 0, 100, 1, -1));
  show("QBUF of CAPTURE in a request", queue_buffer(d, &d->capture, 0, 0, 0, request));
  show("S_EXT_CTRLS by a copy of the descriptor", use_control(d, VIDIOC_S_EXT_CTRLS, copy, &params));
  show_buffer(d, &d->output, 0, request, "before QBUF");
  show("QBUF", queue_buffer(d, &d->output, 0, 100, 1, request));
  show_buffer(d, &d->output, 0, request, "in the request");
  show("QBUF again", queue_buffer(d, &d->output, 0, 100, 1, request));
  show("QBUF without a request", queue_buffer(d, &d->output, 1, 100, 1, kNoRequest));
  show("REINIT takes it out", ioctl(request, MEDIA_REQUEST_IOC_REINIT));
  show_buffer(d, &d->output, 0, request, "after REINIT");
  show("QUEUE after REINIT", ioctl(copy, MEDIA_REQUEST_IOC_QUEUE));
  show("close of the copy", close(copy));
  show("QUEUE without values", queue_buffer(d, &d->output, 0, 100, 1, request));
  show("...", ioctl(request, MEDIA_REQUEST_IOC_QUEUE));
  show("STREAMOFF before any STREAMON", ioctl(d->video, VIDIOC_STREAMOFF, &d->output.type));
  show("REINIT", ioctl(request, MEDIA_REQUEST_IOC_REINIT));
  printf("poll after it: %#x\n", poll_request(request, 0));
}

/* A request that is queued but cannot be carried out, because CAPTURE has stopped. */
void show_stop(struct decoder *d, struct frame *frame) {
  const int request = d->requests[1];
  frame->params.flags |= V4L2_FWHT_FL_I_FRAME;
  frame->params.backward_ref_ts = 0;
  show("STREAMOFF of CAPTURE", ioctl(d->video, VIDIOC_STREAMOFF, &d->capture.type));
  show("S_EXT_CTRLS", use_control(d, VIDIOC_S_EXT_CTRLS, request, &frame->params));
  show("QBUF", queue_buffer(d, &d->output, 1, 100, 1, request));
  show("QUEUE", ioctl(request, MEDIA_REQUEST_IOC_QUEUE));
  printf("poll of a queued request: %#x\n", poll_request(request, 0));
  show_buffer(d, &d->output, 1, request, "queued");
  show("QUEUE twice", ioctl(request, MEDIA_REQUEST_IOC_QUEUE));
  show("REINIT of a queued request", ioctl(request, MEDIA_REQUEST_IOC_REINIT));
  show("S_EXT_CTRLS in a queued request", use_control(d, VIDIOC_S_EXT_CTRLS, request, &frame->params));
  show("STREAMOFF of OUTPUT", ioctl(d->video, VIDIOC_STREAMOFF, &d->output.type));
  printf("poll after STREAMOFF: %#x\n", poll_request(request, 0));
  show_buffer(d, &d->output, 1, request, "after STREAMOFF");
  show("QUEUE of it", ioctl(request, MEDIA_REQUEST_IOC_QUEUE));
  show("REINIT of it", ioctl(request, MEDIA_REQUEST_IOC_REINIT));
  show("QUEUE after STREAMOFF and REINIT", ioctl(request, MEDIA_REQUEST_IOC_QUEUE));
}
