#include "device.h"

#include <csignal>
#include <pthread.h>
#include <thread>

#include "mapping.h"
#include "settings.h"

namespace preload {
namespace {

constexpr uint32_t kM2m = V4L2_CAP_VIDEO_M2M | V4L2_CAP_VIDEO_M2M_MPLANE;
constexpr uint32_t kOutput = V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_VIDEO_OUTPUT_MPLANE | V4L2_CAP_VBI_OUTPUT |
                             V4L2_CAP_SLICED_VBI_OUTPUT | V4L2_CAP_SDR_OUTPUT | V4L2_CAP_META_OUTPUT |
                             V4L2_CAP_MODULATOR;
// A node that has both directions and is not mem-to-mem (v4l2loopback). The Linux driver would treat it as an
// output only.
constexpr uint32_t kBoth = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_CAPTURE_MPLANE;

std::mutex& devices_mutex() {
  static std::mutex& mutex = *new std::mutex;
  return mutex;
}

std::map<std::string, std::shared_ptr<Device>>& devices() {
  static auto& devices = *new std::map<std::string, std::shared_ptr<Device>>;
  return devices;
}

}  // namespace

std::shared_ptr<Device> Device::at(const char* path) {
  const std::string* socket = Settings::get().socket(path);
  std::lock_guard lock(devices_mutex());
  std::shared_ptr<Device>& device = devices()[path];
  if (device) return device;
  GuestRam* ram = GuestRam::get();
  if (!socket || !ram) return nullptr;
  std::shared_ptr<Device> made(new Device(*ram));
  made->has_media_ = Settings::get().has_media(path);
  if (made->probe(*socket)) device = made;
  return device;
}

void Device::abandon_all() {
  for (const auto& [path, device] : devices())
    if (device) device->driver().abandon();
}

bool Device::probe(const std::string& socket) {
  driver_.on_event([this](const wire::Event& event, uint32_t bytes) {
    std::lock_guard lock(mutex_);
    const auto found = sessions_.find(event.session);
    if (found == sessions_.end()) return trace("an event for session %u, which is not open", event.session);
    found->second->handle(event, bytes);
  });
  front_end_.on_unmap([this](uint64_t offset, uint64_t length) { return is_mapped(*this, offset, length); });
  if (!front_end_.connect(socket) || !front_end_.read_config(0, &config_, sizeof config_) || !driver_.probe())
    return false;
  // Signals must be handled by the program's own threads.
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  std::thread([this] { serve(); }).detach();
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  return true;
}

void Device::serve() {
  pollfd fds[] = {{driver_.events_fd(), POLLIN, 0}, {front_end_.channel(), POLLIN, 0}};
  for (;;) {
    if (real::poll(fds, 2, -1) < 0) continue;
    if (fds[1].revents && !front_end_.serve_channel()) fds[1].fd = -1;
    if (fds[0].revents) driver_.process_events();
  }
}

bool Device::is_m2m() const { return config_.device_caps & kM2m; }

bool Device::is_output() const { return is_m2m() || (config_.device_caps & kOutput); }

bool Device::is_capture() const {
  return is_m2m() || (config_.device_caps & kBoth) || !(config_.device_caps & kOutput);
}

void Device::add(Session* session) {
  std::lock_guard lock(mutex_);
  sessions_[session->id()] = session;
}

void Device::remove(Session* session) {
  std::lock_guard lock(mutex_);
  sessions_.erase(session->id());
}

}  // namespace preload
