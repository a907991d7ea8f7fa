/* A camera of one format that fills USERPTR buffers of its users, without a kernel driver: see cuse-node.c. */
#ifndef CUSE_CAMERA_H
#define CUSE_CAMERA_H

#include <stdbool.h>
#include <stddef.h>

#define FRAME_INTERVAL_MS 33

struct camera_file;

/* `memory`: /proc/PID/mem of the user, which is the file's from now on. */
struct camera_file *camera_open(int memory);
void camera_close(struct camera_file *file);

/* Runs a VIDIOC_* on `data`, which is _IOC_SIZE long. 0 or -errno. */
int camera_ioctl(struct camera_file *file, unsigned command, void *data);

/* EPOLLIN, EPOLLERR: what the file is ready for. */
unsigned camera_ready(const struct camera_file *file);

/* FRAME_INTERVAL_MS have passed. The file that has got a frame, if any. */
struct camera_file *camera_tick(void);

#endif
