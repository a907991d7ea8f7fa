#include "port.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

namespace usb_camera {

namespace {

namespace fs = std::filesystem;

const fs::path kController = "/sys/devices/platform/vhci_hcd.0";
const fs::path kNodes = "/sys/class/video4linux";
/** enum usb_device_speed */
constexpr unsigned kHighSpeed = 3;
/** enum usbip_device_status: VDEV_ST_NULL */
constexpr unsigned kFree = 4;

[[noreturn]] void Fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

vmb::UniqueFd Port::Plug() const {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) Fail("socketpair");
  vmb::UniqueFd ours(ends[0]), kernels(ends[1]);
  std::ostringstream request;
  request << number_ << ' ' << kernels.get() << ' ' << (1 << 16 | (number_ + 2)) << ' ' << kHighSpeed;
  const fs::path path = kController / "attach";
  const vmb::UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  const std::string text = request.str();
  if (!file || write(file.get(), text.data(), text.size()) < 0) Fail(path.string());
  return ours;
}

bool Port::is_free() const {
  std::ifstream status(kController / "status");
  for (std::string line; std::getline(status, line);) {
    std::istringstream words(line);
    std::string hub;
    unsigned port = 0, state = 0;
    if (words >> hub >> port >> state && hub == "hs" && port == number_) return state == kFree;
  }
  return false;
}

std::vector<std::string> Port::Nodes() const {
  const std::string place = "-" + std::to_string(number_ + 1);
  std::vector<std::pair<unsigned, std::string>> found;
  std::error_code error;
  for (const fs::directory_entry& node : fs::directory_iterator(kNodes, error)) {
    const fs::path interface = fs::canonical(node.path() / "device", error);
    const std::string device = interface.parent_path().filename();
    if (error || !device.ends_with(place) ||
        interface.string().find(kController.filename().string() + "/usb") == std::string::npos)
      continue;
    unsigned index = 0;
    if (std::ifstream(node.path() / "index") >> index)
      found.emplace_back(index, "/dev/" + node.path().filename().string());
  }
  std::ranges::sort(found);
  std::vector<std::string> paths;
  for (auto& [index, path] : found) paths.push_back(std::move(path));
  return paths;
}

/** uvcvideo allows it ("auto") at the end of its probe, when the nodes are there already. */
bool Port::KeepAwake(const std::vector<std::string>& nodes) {
  for (const std::string& node : nodes) {
    std::error_code error;
    const fs::path interface = fs::canonical(kNodes / fs::path(node).filename() / "device", error);
    const fs::path control = interface.parent_path() / "power/control";
    std::string word;
    if (error || !(std::ifstream(control) >> word)) return false;
    if (word != "auto") continue;
    std::ofstream(control) << "on";
    return true;
  }
  return false;
}

}  // namespace usb_camera
