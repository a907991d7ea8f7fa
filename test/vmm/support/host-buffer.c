/*
 * Prints a capture buffer of a V4L2 node as the host's kernel has it, while another process streams from it.
 *
 * Usage: host-buffer DEVICE PID INDEX
 *
 * Any open file of a vb2 node may use QUERYBUF, which says where the buffer is. MMAP: it is the node's own
 * memory, which is mapped here at the kernel's offset. USERPTR: it is memory of process PID, which owns the
 * queue, and is read from that process. The memory type is printed on stderr, the bytes on stdout.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>

static void *mapped(int node, const struct v4l2_buffer *buffer) {
  void *memory = mmap(NULL, buffer->length, PROT_READ, MAP_SHARED, node, buffer->m.offset);
  if (memory == MAP_FAILED) err(1, "mmap");
  fprintf(stderr, "mmap\n");
  return memory;
}

static void *copied(pid_t pid, const struct v4l2_buffer *buffer) {
  struct iovec to = {.iov_base = malloc(buffer->length), .iov_len = buffer->length};
  struct iovec from = {.iov_base = (void *)buffer->m.userptr, .iov_len = buffer->length};
  if (process_vm_readv(pid, &to, 1, &from, 1, 0) != (ssize_t)buffer->length) err(1, "process_vm_readv");
  fprintf(stderr, "userptr\n");
  return to.iov_base;
}

int main(int argc, char **argv) {
  if (argc != 4) errx(2, "usage: host-buffer DEVICE PID INDEX");
  int node = open(argv[1], O_RDWR | O_NONBLOCK);
  if (node < 0) err(1, "%s", argv[1]);
  struct v4l2_buffer buffer = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .index = (unsigned)atoi(argv[3])};
  if (ioctl(node, VIDIOC_QUERYBUF, &buffer) < 0) err(1, "VIDIOC_QUERYBUF");
  if (buffer.flags & V4L2_BUF_FLAG_QUEUED) errx(1, "buffer %u is the hardware's", buffer.index);
  const void *memory = buffer.memory == V4L2_MEMORY_USERPTR ? copied(atoi(argv[2]), &buffer) : mapped(node, &buffer);
  return fwrite(memory, buffer.length, 1, stdout) == 1 && fflush(stdout) == 0 ? 0 : 1;
}
