/*
 * A camera of one format, without a kernel driver, that fills USERPTR buffers of its users. See cuse-node.c.
 */
#ifndef CUSE_CAMERA_H
#define CUSE_CAMERA_H

#include <stdbool.h>
#include <stddef.h>

#define FRAME_INTERVAL_MS 33

struct camera_file;

/* `memory`: descriptor of the user's /proc/PID/mem. The file takes ownership of it. */
struct camera_file *camera_open(int memory);
void camera_close(struct camera_file *file);

/* Runs a VIDIOC_* ioctl on `data`, which has _IOC_SIZE bytes. Returns 0 or -errno. */
int camera_ioctl(struct camera_file *file, unsigned command, void *data);

/* Returns EPOLLIN or EPOLLERR: the events that the file is ready for. */
unsigned camera_ready(const struct camera_file *file);

/* Call this every FRAME_INTERVAL_MS. Returns the file that has got a frame, or NULL. */
struct camera_file *camera_tick(void);

#endif
