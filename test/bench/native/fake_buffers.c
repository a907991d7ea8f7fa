/* This is a fake: the fake node's ioctls of buffers and streams. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>

#include "fake_node.h"

static struct buffer *find(int fd, uint32_t type, uint32_t index) {
  const bool known = node.owner == fd && type == V4L2_BUF_TYPE_VIDEO_CAPTURE && index < node.count;
  return known ? &node.buffers[index] : NULL;
}

/* What the program gets to see of a buffer. */
static void tell(const struct buffer *buffer, struct v4l2_buffer *record) {
  *record = buffer->record;
  if (buffer->prepared) record->flags |= V4L2_BUF_FLAG_PREPARED;
  if (buffer->state == QUEUED) record->flags |= V4L2_BUF_FLAG_QUEUED;
  if (buffer->state == DONE) record->flags |= V4L2_BUF_FLAG_DONE;
}

int request_buffers(int fd, void *argument) {
  struct v4l2_requestbuffers *request = argument;
  const bool is_known = request->memory == V4L2_MEMORY_MMAP || (request->memory == V4L2_MEMORY_USERPTR && node.userptr);
  if (request->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || !is_known) return EINVAL;
  if (node.owner >= 0 && node.owner != fd) return EBUSY;
  free_buffers();
  if (request->count > MAX_BUFFERS) request->count = MAX_BUFFERS;
  request->capabilities = V4L2_BUF_CAP_SUPPORTS_MMAP | V4L2_BUF_CAP_SUPPORTS_ORPHANED_BUFS;
  if (node.userptr) request->capabilities |= V4L2_BUF_CAP_SUPPORTS_USERPTR;
  for (uint32_t i = 0; i < request->count; i++)
    if (make_buffer(i, request->memory) != 0) abort();
  node.count = request->count;
  if (node.count > 0) node.owner = fd;
  return 0;
}

int query_buffer(int fd, void *argument) {
  struct v4l2_buffer *record = argument;
  const struct buffer *buffer = find(fd, record->type, record->index);
  if (!buffer) return EINVAL;
  tell(buffer, record);
  return 0;
}

/* Takes the memory that the program gives a buffer which it has. An errno. */
static int attach(int fd, const struct v4l2_buffer *record) {
  struct buffer *buffer = find(fd, record->type, record->index);
  if (!buffer || buffer->state != IDLE || record->memory != buffer->record.memory) return EINVAL;
  if (record->memory != V4L2_MEMORY_USERPTR) return 0;
  if (record->length < node.format.sizeimage) return EINVAL;
  buffer->record.length = record->length;
  buffer->record.m.userptr = record->m.userptr;
  buffer->bytes = (void *)record->m.userptr;
  return 0;
}

int prepare_buffer(int fd, void *argument) {
  struct v4l2_buffer *record = argument;
  const int error = attach(fd, record);
  if (error) return error;
  node.buffers[record->index].prepared = true;
  tell(&node.buffers[record->index], record);
  return 0;
}

int queue_buffer(int fd, void *argument) {
  struct v4l2_buffer *record = argument;
  const int error = attach(fd, record);
  if (error) return error;
  struct buffer *buffer = &node.buffers[record->index];
  buffer->prepared = false;
  buffer->state = QUEUED;
  put(&node.queued, record->index);
  tell(buffer, record);
  complete_all();
  return 0;
}

int dequeue_buffer(int fd, void *argument) {
  struct v4l2_buffer *record = argument;
  while (node.owner == fd && node.streaming && node.done.count == 0) {
    atomic_fetch_add(&counters->own_calls, 1);
    if (syscall(SYS_fcntl, fd, F_GETFL) & O_NONBLOCK) {
      atomic_fetch_add(&counters->again, 1);
      return EAGAIN;
    }
    pthread_mutex_unlock(&node.lock);
    poll(&(struct pollfd){fd, POLLIN, 0}, 1, -1);
    pthread_mutex_lock(&node.lock);
  }
  if (node.owner != fd || !node.streaming || record->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return EINVAL;
  struct buffer *buffer = &node.buffers[take(&node.done)];
  buffer->state = IDLE;
  if (node.done.count == 0) clear_readiness(fd);
  tell(buffer, record);
  return 0;
}

int export_buffer(int fd, void *argument) {
  struct v4l2_exportbuffer *request = argument;
  const struct buffer *buffer = find(fd, request->type, request->index);
  if (!buffer || request->plane > 0 || buffer->memory < 0) return EINVAL;
  request->fd = (int)syscall(SYS_fcntl, buffer->memory, request->flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
  return request->fd < 0 ? errno : 0;
}

int stream_on(int fd, void *argument) {
  if (*(int *)argument != V4L2_BUF_TYPE_VIDEO_CAPTURE || node.owner != fd) return EINVAL;
  if (node.streaming) return 0;
  node.streaming = true;
  node.sequence = 0;
  if (node.period.numerator != 0) start_clock();
  complete_all();
  return 0;
}

int stream_off(int fd, void *argument) {
  if (*(int *)argument != V4L2_BUF_TYPE_VIDEO_CAPTURE || (node.owner >= 0 && node.owner != fd)) return EINVAL;
  if (node.owner == fd) stop_streaming();
  return 0;
}
