#include "command_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <system_error>

namespace usb_camera {

namespace {

constexpr size_t kLongestLine = 256;

[[noreturn]] void Fail(const std::string& path) {
  throw std::system_error(errno, std::generic_category(), path);
}

sockaddr_un Address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    Fail(path);
  }
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

void Say(int fd, const std::string& text) {
  const std::string line = text + "\n";
  send(fd, line.data(), line.size(), MSG_NOSIGNAL);
}

}  // namespace

CommandSocket::CommandSocket(const std::string& path, Run run) : run_(std::move(run)) {
  if (path.empty()) return;
  const sockaddr_un address = Address(path);
  unlink(path.c_str());
  listener_.Reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto* bound = reinterpret_cast<const sockaddr*>(&address);
  if (bind(listener_.get(), bound, sizeof address) != 0 || listen(listener_.get(), 8) != 0) Fail(path);
}

void CommandSocket::AddTo(std::vector<pollfd>& waits) const {
  if (listener_) waits.push_back({listener_.get(), POLLIN, 0});
  for (const Client& client : clients_) waits.push_back({client.fd.get(), POLLIN, 0});
}

void CommandSocket::Serve(const std::vector<pollfd>& waits) {
  const auto is_ready = [&](int fd) {
    return std::ranges::any_of(waits, [&](const pollfd& each) { return each.fd == fd && each.revents != 0; });
  };
  clients_.remove_if([&](Client& client) { return is_ready(client.fd.get()) && !Read(client); });
  if (listener_ && is_ready(listener_.get()))
    clients_.push_back({vmb::UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)), {}});
}

bool CommandSocket::Read(Client& client) {
  char bytes[kLongestLine];
  const ssize_t length = recv(client.fd.get(), bytes, sizeof bytes, MSG_DONTWAIT);
  if (length <= 0) return false;
  client.text.append(bytes, static_cast<size_t>(length));
  const size_t end = client.text.find('\n');
  if (end == std::string::npos) return client.text.size() < kLongestLine;
  // The descriptor stays open as long as `answer` may be called.
  const auto fd = std::make_shared<vmb::UniqueFd>(std::move(client.fd));
  run_(client.text.substr(0, end), [fd](const std::string& answer) { Say(fd->get(), answer); });
  return false;
}

std::string Ask(const std::string& path, const std::string& line) {
  const vmb::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = Address(path);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) Fail(path);
  Say(fd.get(), line);
  std::string answer;
  char byte;
  while (recv(fd.get(), &byte, 1, 0) == 1 && byte != '\n') answer.push_back(byte);
  return answer;
}

}  // namespace usb_camera
