#include "socket.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <vector>

#include "arguments.h"
#include "failure.h"
#include "unique_fd.h"

namespace vmb {

namespace {

constexpr int kBacklog = 16;
/** vhost-user sends at most 8 memory regions, hence 8 descriptors, in one message. */
constexpr size_t kMaxDescriptors = 32;
constexpr int kSocketType = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

struct ControlBuffer {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxDescriptors * sizeof(int))> bytes{};
};

/** Returns an errno: a path may be too long, and an empty one or a zero byte would make it an abstract name.
 */
int ToAddress(const std::string& path, sockaddr_un& address) {
  if (path.empty() || path.find('\0') != std::string::npos) return EINVAL;
  if (path.size() >= sizeof address.sun_path) return ENAMETOOLONG;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return 0;
}

int Connect(int fd, const sockaddr_un& address) {
  return connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

int Bind(int fd, const sockaddr_un& address) {
  return bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

/** Takes away a socket file that nobody serves. EADDRINUSE: somebody does. EEXIST: it is something else. */
int RemoveStale(const sockaddr_un& address) {
  struct stat file;
  if (lstat(address.sun_path, &file) != 0) return errno == ENOENT ? 0 : errno;
  if (!S_ISSOCK(file.st_mode)) return EEXIST;
  const UniqueFd probe(socket(AF_UNIX, kSocketType, 0));
  if (!probe) return errno;
  const int error = Connect(probe.get(), address);
  // EAGAIN: its backlog is full.
  if (error == 0 || error == EAGAIN) return EADDRINUSE;
  if (error != ECONNREFUSED) return error;
  return unlink(address.sun_path) == 0 || errno == ENOENT ? 0 : errno;
}

int Serve(int fd, const sockaddr_un& address) {
  // The file gets the mode of the socket at bind(2), less the umask: there is no moment at which others may
  // connect.
  if (fchmod(fd, S_IRUSR | S_IWUSR) != 0) return errno;
  int error = Bind(fd, address);
  if (error == EADDRINUSE) {
    error = RemoveStale(address);
    if (error == 0) error = Bind(fd, address);
  }
  if (error != 0) return error;
  return listen(fd, kBacklog) == 0 ? 0 : errno;
}

/** A new socket that `use(fd, address)` made ready. */
Napi::Value OpenSocket(const Napi::CallbackInfo& info, const char* name,
                       int (*use)(int, const sockaddr_un&)) {
  Arguments arguments(info, name);
  const std::string path = arguments.Text(0);
  if (!arguments.ok()) return info.Env().Undefined();
  sockaddr_un address{};
  if (const int error = ToAddress(path, address)) return ThrowErrno(info.Env(), name, path, error);
  UniqueFd fd(socket(AF_UNIX, kSocketType, 0));
  if (!fd) return ThrowErrno(info.Env(), name, path, errno);
  if (const int error = use(fd.get(), address)) return ThrowErrno(info.Env(), name, path, error);
  return Napi::Number::New(info.Env(), fd.Release());
}

Napi::Value ListenSocket(const Napi::CallbackInfo& info) { return OpenSocket(info, "listen", Serve); }

Napi::Value ConnectSocket(const Napi::CallbackInfo& info) { return OpenSocket(info, "connect", Connect); }

Napi::Value SocketPair(const Napi::CallbackInfo& info) {
  int pair[2];
  if (socketpair(AF_UNIX, kSocketType, 0, pair) != 0) return ThrowErrno(info.Env(), "socketpair", "", errno);
  const Napi::Array result = Napi::Array::New(info.Env(), 2);
  result.Set(0u, pair[0]);
  result.Set(1u, pair[1]);
  return result;
}

Napi::Value Accept(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "accept");
  const int fd = arguments.Descriptor(0);
  if (!arguments.ok()) return info.Env().Undefined();
  int connection;
  do {
    connection = accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  } while (connection < 0 && errno == EINTR);
  return Napi::Number::New(info.Env(), connection < 0 ? -errno : connection);
}

std::vector<UniqueFd> TakeDescriptors(msghdr& message) {
  std::vector<UniqueFd> descriptors;
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
       control = CMSG_NXTHDR(&message, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = CMSG_LEN(0); at + sizeof(int) <= control->cmsg_len; at += sizeof(int)) {
      int fd;
      std::memcpy(&fd, reinterpret_cast<char*>(control) + at, sizeof fd);
      descriptors.emplace_back(fd);
    }
  }
  return descriptors;
}

Napi::Value Received(Napi::Env env, ssize_t length, std::vector<UniqueFd> descriptors) {
  const Napi::Object result = Napi::Object::New(env);
  const Napi::Array numbers = Napi::Array::New(env, descriptors.size());
  for (size_t i = 0; i < descriptors.size(); i++) {
    numbers.Set(static_cast<uint32_t>(i), descriptors[i].get());
  }
  result.Set("length", Napi::Number::New(env, static_cast<double>(length)));
  result.Set("descriptors", numbers);
  if (env.IsExceptionPending()) return env.Undefined();
  for (UniqueFd& fd : descriptors) fd.Release();
  return result;
}

Napi::Value Receive(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "receive");
  const int fd = arguments.Descriptor(0);
  const std::span<uint8_t> into = arguments.Bytes(1);
  if (!arguments.ok()) return info.Env().Undefined();
  // With no room for a byte, 0 would not mean the end.
  if (into.empty()) return Napi::Number::New(info.Env(), -EINVAL);
  iovec vector = {into.data(), into.size()};
  ControlBuffer control;
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  ssize_t length;
  do {
    length = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (length < 0 && errno == EINTR);
  if (length < 0) return Napi::Number::New(info.Env(), -errno);
  std::vector<UniqueFd> descriptors = TakeDescriptors(message);
  // Also set where this process could not take them all (EMFILE): a message without them is worth nothing.
  if (message.msg_flags & MSG_CTRUNC) return Napi::Number::New(info.Env(), -EMSGSIZE);
  return Received(info.Env(), length, std::move(descriptors));
}

/** The descriptors of an array of numbers. False: it is something else, or an exception is pending. */
bool ReadDescriptors(Napi::Env env, const Napi::Object& array, std::vector<int>& into) {
  uint32_t length = 0;
  if (napi_get_array_length(env, array, &length) != napi_ok || length > kMaxDescriptors) return false;
  for (uint32_t i = 0; i < length; i++) {
    napi_value element;
    uint64_t fd = 0;
    if (napi_get_element(env, array, i, &element) != napi_ok || !ToInteger(env, element, INT32_MAX, fd))
      return false;
    into.push_back(static_cast<int>(fd));
  }
  return true;
}

void Attach(msghdr& message, ControlBuffer& control, const std::vector<int>& descriptors) {
  const size_t size = descriptors.size() * sizeof(int);
  message.msg_control = control.bytes.data();
  message.msg_controllen = CMSG_SPACE(size);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(size);
  std::memcpy(CMSG_DATA(header), descriptors.data(), size);
}

Napi::Value Send(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Arguments arguments(info, "send");
  const int fd = arguments.Descriptor(0);
  const Napi::Object array = arguments.Object(2);
  std::vector<int> descriptors;
  if (arguments.ok() && !ReadDescriptors(env, array, descriptors) && !env.IsExceptionPending()) {
    arguments.Refuse(2, "an array of at most 32 descriptors");
  }
  if (env.IsExceptionPending()) return env.Undefined();
  // After the array: its elements may be accessors, and those may detach the bytes.
  const std::span<uint8_t> bytes = arguments.Bytes(1);
  if (!arguments.ok()) return env.Undefined();
  iovec vector = {bytes.data(), bytes.size()};
  ControlBuffer control;
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) Attach(message, control, descriptors);
  ssize_t sent;
  do {
    sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return Napi::Number::New(env, sent < 0 ? -errno : static_cast<double>(sent));
}

Napi::Value UnreadBytes(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "unreadBytes");
  const int fd = arguments.Descriptor(0);
  if (!arguments.ok()) return info.Env().Undefined();
  int bytes = 0;
  const int status = ioctl(fd, TIOCOUTQ, &bytes);
  return Napi::Number::New(info.Env(), status < 0 ? -errno : bytes);
}

}  // namespace

void ExportSocket(Napi::Env env, Napi::Object exports) {
  exports.Set("listen", Napi::Function::New<ListenSocket>(env, "listen"));
  exports.Set("connect", Napi::Function::New<ConnectSocket>(env, "connect"));
  exports.Set("socketPair", Napi::Function::New<SocketPair>(env, "socketPair"));
  exports.Set("accept", Napi::Function::New<Accept>(env, "accept"));
  exports.Set("receive", Napi::Function::New<Receive>(env, "receive"));
  exports.Set("send", Napi::Function::New<Send>(env, "send"));
  exports.Set("unreadBytes", Napi::Function::New<UnreadBytes>(env, "unreadBytes"));
}

}  // namespace vmb
