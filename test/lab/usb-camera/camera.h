/** The whole device: its pipes, its connection to the host, and the commands that it takes. */
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "command_socket.h"
#include "control_pipe.h"
#include "controls.h"
#include "faults.h"
#include "link.h"
#include "port.h"
#include "status_pipe.h"
#include "video_pipe.h"

namespace usb_camera {

struct Options {
  std::string socket;
  std::string name = "USB/IP camera";
  std::string serial = "1";
  unsigned port = 0;
};

class Camera {
 public:
  explicit Camera(const Options& options);

  /**
   * Plugs the camera in, prints its nodes, and serves it until the process is ended. Throws
   * std::system_error.
   */
  [[noreturn]] void Run();

 private:
  using Answer = CommandSocket::Answer;
  enum class Awaited { kNothing, kNodes, kFreePort };

  void Obey(const std::string& line, Answer answer);
  void Plug(Answer answer);
  void Unplug(Answer answer);
  /** Answers the command that has plugged or unplugged the camera, when the kernel has finished. */
  void Settle();
  void Receive();
  void Unlink(uint32_t sequence, uint32_t dropped);
  int Timeout(Clock::time_point now) const;

  const Port port_;
  Faults faults_;
  StatusPipe status_;
  Controls controls_{status_};
  VideoPipe video_{faults_};
  ControlPipe control_;
  CommandSocket commands_;
  std::optional<Link> link_;
  /** Sequence number of the latest transfer that has arrived. */
  uint32_t latest_ = 0;
  /**
   * Unlinks that have arrived before their transfers: sequence numbers of the unlinks, by those of the
   * transfers.
   */
  std::map<uint32_t, uint32_t> early_unlinks_;
  Awaited awaited_ = Awaited::kNothing;
  Answer settled_;
};

}  // namespace usb_camera
