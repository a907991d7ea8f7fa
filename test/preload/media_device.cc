#include "media_device.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <linux/media.h>

#include "files.h"
#include "media_request.h"
#include "settings.h"
#include "user_memory.h"

namespace preload {
namespace {

// Ioctls that change nothing. SETUP_LINK changes the graph, so it is ENOTTY.
constexpr unsigned kLooks[] = {
    static_cast<unsigned>(MEDIA_IOC_DEVICE_INFO),
    static_cast<unsigned>(MEDIA_IOC_ENUM_ENTITIES),
    static_cast<unsigned>(MEDIA_IOC_ENUM_LINKS),
    static_cast<unsigned>(MEDIA_IOC_G_TOPOLOGY),
};

}  // namespace

std::shared_ptr<MediaDevice> MediaDevice::open(const char* path, std::shared_ptr<Device> device, int flags) {
  UniqueFd host(real::open(path, (flags & O_ACCMODE) | O_CLOEXEC, 0));
  if (!host) return nullptr;
  return std::shared_ptr<MediaDevice>(new MediaDevice(std::move(host), std::move(device), flags & O_ACCMODE));
}

int MediaDevice::ioctl(unsigned request, void* argument, bool) {
  if (request == static_cast<unsigned>(MEDIA_IOC_REQUEST_ALLOC)) return allocate_request(argument);
  if (std::ranges::find(kLooks, request) == std::end(kLooks)) return -ENOTTY;
  return real::ioctl(host_.get(), request, argument) < 0 ? -errno : 0;
}

// As drivers/media/mc: exec closes the descriptor.
int MediaDevice::allocate_request(void* argument) {
  const int fd = install(std::make_shared<MediaRequest>(device_), O_CLOEXEC);
  if (fd < 0) return -errno;
  trace("MEDIA_IOC_REQUEST_ALLOC = descriptor %d", fd);
  if (copy_to_user(argument, &fd, sizeof fd)) return 0;
  const auto request = forget(fd);
  real::close(fd);
  return -EFAULT;
}

// A media device has no poll, so the kernel answers DEFAULT_POLLMASK.
short MediaDevice::readiness(short wanted) {
  return static_cast<short>(wanted & (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM));
}

}  // namespace preload
