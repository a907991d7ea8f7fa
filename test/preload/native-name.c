/* For native runs of v4l2-compliance, with LD_PRELOAD: QUERYCAP says that the driver is "virtio-media", as it does through the
 * bridge. The tool has exceptions for drivers that it knows by name: both runs shall have the same. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdio.h>

int ioctl(int fd, unsigned long request, ...) {
  static int (*real)(int, unsigned long, ...);
  va_list arguments;
  va_start(arguments, request);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "ioctl");
  const int result = real(fd, request, argument);
  if (result == 0 && (unsigned int)request == VIDIOC_QUERYCAP) {
    struct v4l2_capability *capability = argument;
    snprintf((char *)capability->driver, sizeof capability->driver, "virtio-media");
  }
  return result;
}
