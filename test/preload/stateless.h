/* Declarations of stateless.c for stateless-refusals.c. */
#pragma once

#include <errno.h>
#include <linux/media.h>
#include <linux/videodev2.h>
#include <stdint.h>
#include <stdio.h>

enum { kNoRequest = -2 };

struct queue {
  uint32_t type, count, length;
  void *map[VIDEO_MAX_FRAME];
};

struct frame {
  struct v4l2_ctrl_fwht_params params;
  uint32_t bytes;
  uint8_t data[1 << 20];
};

struct decoder {
  int video, media, planes, before;
  struct queue output, capture;
  int requests[3];
  struct v4l2_ctrl_fwht_params params[3];
  FILE *pictures;
};

/* Each returns the result of its system call. */
int queue_buffer(const struct decoder *d, const struct queue *q, uint32_t index, uint32_t bytes, uint32_t stamp, int request);
int use_control(const struct decoder *d, unsigned long code, int request, struct v4l2_ctrl_fwht_params *params);
/* POLL* flags that poll reports for a request. */
int poll_request(int request, int milliseconds);

/* These print the kernel's answers. */
void show(const char *what, int result);
void show_buffer(const struct decoder *d, const struct queue *q, uint32_t index, int request, const char *when);
void show_media(const struct decoder *d);
void show_refusals(struct decoder *d, struct frame *frame);
void show_stop(struct decoder *d, struct frame *frame);
