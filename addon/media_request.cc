#include <linux/media.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <string>

#include "call_reader.h"
#include "node_call.h"
#include "unique_fd.h"

namespace vmb {

namespace {

/** Where a symbolic link leads; empty where there is none, or it is longer than any that is looked for. */
std::string TargetOf(const std::string& link) {
  std::array<char, 256> target;
  const ssize_t length = readlink(link.c_str(), target.data(), target.size());
  return length < 0 ? std::string() : std::string(target.data(), static_cast<size_t>(length));
}

bool IsMediaDevice(int fd) {
  struct stat file {};
  if (fstat(fd, &file) != 0 || !S_ISCHR(file.st_mode)) return false;
  const std::string number = std::to_string(major(file.st_rdev)) + ":" + std::to_string(minor(file.st_rdev));
  return TargetOf("/sys/dev/char/" + number + "/subsystem").ends_with("/bus/media");
}

bool IsRequest(int fd) { return TargetOf("/proc/self/fd/" + std::to_string(fd)) == "anon_inode:request"; }

/**
 * An ioctl on a descriptor that the caller lends. What kind of file that is gets asked without an ioctl: on
 * another driver's file the same number may mean anything. The answer is the kernel's own for such a file.
 */
class LentCall : public NodeCall {
 public:
  bool Parse(CallReader& reader, const char* name) {
    error_ = reader.Borrow(reader.Get(name), lent_);
    return reader.ok();
  }

  /** It waits for the device's request lock, and QUEUE for the driver. */
  bool NeedsLane() const override { return true; }

  int Run(OpenNode& node) override {
    const int error = node.is_open() ? RunLent() : EBADF;
    // Where the caller has closed its own, ours is the last one: closed on this thread.
    lent_.Reset();
    return error;
  }

 private:
  int RunLent() {
    if (error_ != 0) return error_;
    return IsRightKind(lent_.get()) ? RunOn(lent_.get()) : ENOTTY;
  }

  virtual bool IsRightKind(int fd) const = 0;
  virtual int RunOn(int fd) = 0;

  UniqueFd lent_;
  /** Of a descriptor that could not be duplicated. */
  int error_ = 0;
};

/** MEDIA_IOC_REQUEST_ALLOC. The request must not be lost where its number cannot be told. */
class AllocateCall : public LentCall {
 public:
  void Finish(Napi::Object call, bool) override {
    const Napi::Value number = Napi::Number::New(call.Env(), request_.get());
    // Defined, not set: only that tells of an object that takes no property, and runs no accessor.
    const napi_property_descriptor property = {
        "request", nullptr, nullptr, nullptr, nullptr, number, napi_default_jsproperty, nullptr};
    if (napi_define_properties(call.Env(), call, 1, &property) == napi_ok) request_.Release();
  }

 private:
  bool IsRightKind(int fd) const override { return IsMediaDevice(fd); }

  int RunOn(int fd) override {
    int request = -1;
    const int error = Ioctl(fd, MEDIA_IOC_REQUEST_ALLOC, &request);
    if (error == 0) request_.Reset(request);
    return error;
  }

  UniqueFd request_;
};

/** MEDIA_REQUEST_IOC_QUEUE and MEDIA_REQUEST_IOC_REINIT. */
class RequestStateCall : public LentCall {
 public:
  explicit RequestStateCall(unsigned long code) : code_(code) {}

 private:
  bool IsRightKind(int fd) const override { return IsRequest(fd); }
  int RunOn(int fd) override { return Ioctl(fd, code_, nullptr); }

  unsigned long code_;
};

/** No ioctl: the caller closes its own descriptor meanwhile, so that the last one is closed on the lane. */
class CloseRequestCall : public LentCall {
 private:
  bool IsRightKind(int fd) const override { return IsRequest(fd); }
  int RunOn(int) override { return 0; }
};

std::unique_ptr<NodeCall> ParseLent(CallReader& reader, std::unique_ptr<LentCall> call, const char* name) {
  return call->Parse(reader, name) ? std::move(call) : nullptr;
}

}  // namespace

std::unique_ptr<NodeCall> ParseAllocateRequest(CallReader& reader) {
  return ParseLent(reader, std::make_unique<AllocateCall>(), "media");
}

std::unique_ptr<NodeCall> ParseQueueRequest(CallReader& reader) {
  return ParseLent(reader, std::make_unique<RequestStateCall>(MEDIA_REQUEST_IOC_QUEUE), "request");
}

std::unique_ptr<NodeCall> ParseReinitRequest(CallReader& reader) {
  return ParseLent(reader, std::make_unique<RequestStateCall>(MEDIA_REQUEST_IOC_REINIT), "request");
}

std::unique_ptr<NodeCall> ParseCloseRequest(CallReader& reader) {
  return ParseLent(reader, std::make_unique<CloseRequestCall>(), "request");
}

}  // namespace vmb
