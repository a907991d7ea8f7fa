/** Where the camera takes its orders: a unix stream socket; a client sends a line and gets a line. */
#pragma once

#include <poll.h>

#include <functional>
#include <list>
#include <string>
#include <vector>

#include "unique_fd.h"

namespace usb_camera {

class CommandSocket {
 public:
  using Answer = std::function<void(const std::string&)>;
  /** May keep `answer` and call it later, once. */
  using Run = std::function<void(const std::string& line, Answer answer)>;

  /** Empty path: no socket. Throws std::system_error. */
  CommandSocket(const std::string& path, Run run);

  void AddTo(std::vector<pollfd>& waits) const;
  /** Serves those that are ready. */
  void Serve(const std::vector<pollfd>& waits);

 private:
  struct Client {
    vmb::UniqueFd fd;
    std::string text;
  };

  /** False when nothing more is wanted of the client. */
  bool Read(Client& client);

  vmb::UniqueFd listener_;
  std::list<Client> clients_;
  Run run_;
};

/** The other side: sends a line and returns the answer. Throws std::system_error. */
std::string Ask(const std::string& path, const std::string& line);

}  // namespace usb_camera
