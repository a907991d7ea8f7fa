#include <linux/media.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>

#include "call_reader.h"
#include "node_call.h"
#include "unique_fd.h"

namespace vmb {

namespace {

/** The target of a symbolic link, cut off after 256 bytes: no target that is looked for is longer. Empty:
 * there is no link. */
std::string TargetOf(const char* link) {
  std::array<char, 256> target;
  const ssize_t length = readlink(link, target.data(), target.size());
  return length < 0 ? std::string() : std::string(target.data(), static_cast<size_t>(length));
}

bool IsMediaDevice(int fd) {
  struct stat file {};
  if (fstat(fd, &file) != 0 || !S_ISCHR(file.st_mode)) return false;
  char link[64];
  snprintf(link, sizeof link, "/sys/dev/char/%u:%u/subsystem", major(file.st_rdev), minor(file.st_rdev));
  return TargetOf(link).ends_with("/bus/media");
}

bool IsRequest(int fd) {
  char link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  return TargetOf(link) == "anon_inode:request";
}

/**
 * An ioctl on a descriptor that the caller lends. The kind of the file is found out without an ioctl, because
 * the same number may mean anything on another driver's file. For a file of the wrong kind the answer is
 * ENOTTY, as from the kernel.
 */
class LentCall : public NodeCall {
 public:
  bool Parse(CallReader& reader, const char* name) {
    error_ = reader.Borrow(reader.Get(name), lent_);
    return reader.ok();
  }

  int Run(OpenNode& node) override {
    const int error = node.is_open() ? RunLent() : EBADF;
    // If the caller has closed its descriptor, ours is the last one. This thread must close it, not the loop.
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
  /** The errno of a descriptor that could not be duplicated. */
  int error_ = 0;
};

/** MEDIA_IOC_REQUEST_ALLOC. If JavaScript cannot get the number of the new descriptor, it is closed. */
class AllocateCall : public LentCall {
 public:
  void Finish(Napi::Object call, bool) override {
    const Napi::Value number = Napi::Number::New(call.Env(), request_.get());
    // The property is defined, not set: only a definition fails if the object takes no property, and it runs
    // no accessor.
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

/** Makes no ioctl. The caller closes its own descriptor in the meantime, so the lane closes the last one. */
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
