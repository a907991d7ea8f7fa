#include "datagram.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <string>

#include "arguments.h"
#include "unique_fd.h"

namespace vmb {

namespace {

/** Sends `text` to the datagram socket at `path`, whose name is abstract if it begins with @. Returns an errno. */
int SendTo(const std::string& path, const std::string& text) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() > sizeof address.sun_path) return EINVAL;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return errno;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  const ssize_t sent = sendto(fd.get(), text.data(), text.size(), MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&address), length);
  return sent < 0 ? errno : 0;
}

Napi::Value SendDatagram(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "sendDatagram");
  const std::string path = arguments.Text(0);
  const std::string text = arguments.Text(1);
  if (!arguments.ok()) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), SendTo(path, text));
}

}  // namespace

void ExportDatagram(Napi::Env env, Napi::Object exports) {
  exports.Set("sendDatagram", Napi::Function::New<SendDatagram>(env, "sendDatagram"));
}

}  // namespace vmb
