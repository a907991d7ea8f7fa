#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "arguments.h"
#include "failure.h"
#include "unique_fd.h"

namespace vmb {

namespace {

constexpr int kBacklog = 16;
/** Descriptors in one message: crosvm sends up to 32 memory regions, each with a descriptor. MAX_DESCRIPTORS
 * in src/vhost-user/protocol.ts is the same number. */
constexpr size_t kMaxDescriptors = 32;
constexpr uint64_t kMaxMode = 0777;
/** To the kernel, 2^32 - 1 means that the id does not change. */
constexpr uint64_t kMaxId = UINT32_MAX - 1;
constexpr int kSocketType = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

struct ControlBuffer {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxDescriptors * sizeof(int))> bytes{};
};

/** Returns an errno. EINVAL: the path is empty or has a NUL byte, so the kernel would read an abstract name
 * or a shorter path. ENAMETOOLONG: it does not fit. */
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

/** Removes a socket file that no process serves. Returns an errno. EADDRINUSE: a process serves it. EEXIST:
 * the file is no socket. */
int RemoveStale(const sockaddr_un& address) {
  struct stat file;
  if (lstat(address.sun_path, &file) != 0) return errno == ENOENT ? 0 : errno;
  if (!S_ISSOCK(file.st_mode)) return EEXIST;
  const UniqueFd probe(socket(AF_UNIX, kSocketType, 0));
  if (!probe) return errno;
  const int error = Connect(probe.get(), address);
  // EAGAIN: a process listens, and its backlog is full.
  if (error == 0 || error == EAGAIN) return EADDRINUSE;
  if (error != ECONNREFUSED) return error;
  return unlink(address.sun_path) == 0 || errno == ENOENT ? 0 : errno;
}

/** Mode and owner that a socket file gets. (uid_t)-1, (gid_t)-1: those that bind(2) gives it. */
struct SocketFile {
  mode_t mode = S_IRUSR | S_IWUSR;
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);

  bool IsAsMade() const {
    return mode == SocketFile().mode && uid == SocketFile().uid && gid == SocketFile().gid;
  }
};

/** Sets mode and owner of the socket file that was just made. Returns an errno. EEXIST: another file, or a
 * link to one, has taken its place in the meantime. */
int Give(const char* path, const SocketFile& wanted) {
  const UniqueFd file(open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status;
  if (!file || fstat(file.get(), &status) != 0) return errno;
  if (!S_ISSOCK(status.st_mode) || status.st_nlink != 1 || status.st_uid != geteuid()) return EEXIST;
  if (fchownat(file.get(), "", wanted.uid, wanted.gid, AT_EMPTY_PATH) != 0) return errno;
  char pinned[32];
  snprintf(pinned, sizeof pinned, "/proc/self/fd/%d", file.get());
  return chmod(pinned, wanted.mode) == 0 ? 0 : errno;
}

int Serve(int fd, const sockaddr_un& address, const SocketFile& file) {
  // bind(2) gives the file the mode of the socket, less the umask. Before listen(2) no process can connect,
  // whatever the mode is. So other users cannot connect before the mode is right.
  if (fchmod(fd, S_IRUSR | S_IWUSR) != 0) return errno;
  int error = Bind(fd, address);
  if (error == EADDRINUSE) {
    error = RemoveStale(address);
    if (error == 0) error = Bind(fd, address);
  }
  if (error != 0) return error;
  error = file.IsAsMade() ? 0 : Give(address.sun_path, file);
  if (error != 0) {
    unlink(address.sun_path);
    return error;
  }
  return listen(fd, kBacklog) == 0 ? 0 : errno;
}

/** Makes a socket and calls `use(fd, address)`, which binds or connects it and returns an errno. Throws. */
template <typename Use>
Napi::Value OpenSocket(const Napi::CallbackInfo& info, const char* name, const std::string& path,
                       const Use& use) {
  sockaddr_un address{};
  if (const int error = ToAddress(path, address)) return ThrowErrno(info.Env(), name, path, error);
  UniqueFd fd(socket(AF_UNIX, kSocketType, 0));
  if (!fd) return ThrowErrno(info.Env(), name, path, errno);
  if (const int error = use(fd.get(), address)) return ThrowErrno(info.Env(), name, path, error);
  return Napi::Number::New(info.Env(), fd.Release());
}

Napi::Value ListenSocket(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "listen");
  const std::string path = arguments.Text(0);
  const auto number = [&](size_t index, uint64_t maximum, uint32_t otherwise) {
    return info[index].IsUndefined() ? otherwise : static_cast<uint32_t>(arguments.Integer(index, maximum));
  };
  SocketFile file;
  file.mode = number(1, kMaxMode, file.mode);
  file.uid = number(2, kMaxId, file.uid);
  file.gid = number(3, kMaxId, file.gid);
  if (!arguments.ok()) return info.Env().Undefined();
  return OpenSocket(info, "listen", path,
                    [&](int fd, const sockaddr_un& address) { return Serve(fd, address, file); });
}

Napi::Value ConnectSocket(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "connect");
  const std::string path = arguments.Text(0);
  if (!arguments.ok()) return info.Env().Undefined();
  return OpenSocket(info, "connect", path, Connect);
}

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

/** The process that called connect(2) or socketpair(2). */
Napi::Value PeerCredentials(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Arguments arguments(info, "peerCredentials");
  const int fd = arguments.Descriptor(0);
  if (!arguments.ok()) return env.Undefined();
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return Napi::Number::New(env, -errno);
  const Napi::Object result = Napi::Object::New(env);
  result.Set("pid", Napi::Number::New(env, peer.pid));
  result.Set("uid", Napi::Number::New(env, peer.uid));
  result.Set("gid", Napi::Number::New(env, peer.gid));
  return result;
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
  // For an empty array recvmsg returns 0 too, which must only mean that the peer has closed.
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
  // The kernel sets this flag also if this process has no free descriptors (EMFILE). A message without its
  // descriptors is useless.
  if (message.msg_flags & MSG_CTRUNC) return Napi::Number::New(info.Env(), -EMSGSIZE);
  return Received(info.Env(), length, std::move(descriptors));
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
  if (arguments.ok() && !ToDescriptors(env, array, kMaxDescriptors, descriptors) &&
      !env.IsExceptionPending()) {
    arguments.Refuse(2, "an array of at most 32 descriptors");
  }
  if (env.IsExceptionPending()) return env.Undefined();
  // The bytes are read after the array, because elements of the array may be accessors that detach the bytes.
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
  exports.Set("peerCredentials", Napi::Function::New<PeerCredentials>(env, "peerCredentials"));
  exports.Set("receive", Napi::Function::New<Receive>(env, "receive"));
  exports.Set("send", Napi::Function::New<Send>(env, "send"));
  exports.Set("unreadBytes", Napi::Function::New<UnreadBytes>(env, "unreadBytes"));
}

}  // namespace vmb
