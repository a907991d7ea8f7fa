// One node: the driver, the VMM that serves it, and the open files.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "driver.h"
#include "priority.h"
#include "session.h"

namespace preload {

class Device {
 public:
  // The device of a path. It is connected at the first call and kept. Null: it could not be connected.
  static std::shared_ptr<Device> at(const char* path);
  // Called after a fork: the devices belong to the parent.
  static void abandon_all();

  Driver& driver() { return driver_; }
  FrontEnd& front_end() { return front_end_; }
  Priorities& priorities() { return priorities_; }
  const wire::Config& config() const { return config_; }
  bool is_m2m() const;
  // Whether the library shows a media device for the node: requests have handles (docs/stateless.md).
  bool has_media() const { return has_media_; }
  bool is_capture() const;
  bool is_output() const;

  void add(Session* session);
  void remove(Session* session);

 private:
  explicit Device(GuestRam& ram) : front_end_(ram), driver_(ram, front_end_) {}
  bool probe(const std::string& socket);
  void serve();

  FrontEnd front_end_;
  Driver driver_;
  Priorities priorities_;
  wire::Config config_{};
  bool has_media_ = false;
  std::mutex mutex_;
  std::map<uint32_t, Session*> sessions_;
};

}  // namespace preload
