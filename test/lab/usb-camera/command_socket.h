/** The socket for commands to the camera: a unix stream socket. A client sends a line and gets a line. */
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
  /** Carries out a line. May keep `answer` and call it later, once. */
  using Run = std::function<void(const std::string& line, Answer answer)>;

  /** Empty path: no socket is made. Throws std::system_error. */
  CommandSocket(const std::string& path, Run run);

  void AddTo(std::vector<pollfd>& waits) const;
  /** Serves the descriptors that are ready. */
  void Serve(const std::vector<pollfd>& waits);

 private:
  struct Client {
    vmb::UniqueFd fd;
    std::string text;
  };

  /** False: the client has been served or is gone. */
  bool Read(Client& client);

  vmb::UniqueFd listener_;
  std::list<Client> clients_;
  Run run_;
};

/** The client's side: sends a line and returns the answer. Throws std::system_error. */
std::string Ask(const std::string& path, const std::string& line);

}  // namespace usb_camera
