// What the environment says: README.md describes the variables.
#pragma once

#include <string>
#include <vector>

namespace preload {

struct Settings {
  struct Node {
    std::string path, socket;
  };
  struct Media {
    std::string path, node;
  };
  std::vector<Node> nodes;
  // Media devices: path, and the node's path.
  std::vector<Media> media;
  bool crosvm = false;
  bool objects = false;
  // What QUERYCAP calls the driver.
  std::string driver = "virtio-media";
  std::string trace;
  // How long after a change a program that waits for one goes on.
  unsigned wake_microseconds = 0;

  static const Settings& get();
  // The socket behind a path that a program opens; nullptr: the path is not taken over.
  const std::string* socket(const char* path) const;
  // The node of a media device's path; nullptr: the path is not taken over.
  const std::string* node_of_media(const char* path) const;
  // Whether the node at this path has a media device.
  bool has_media(const std::string& node) const;
};

// One line to VMB_PRELOAD_TRACE, where that is set.
void trace(const char* format, ...) __attribute__((format(printf, 1, 2)));
// One line to standard error: something that ends in an errno that the program cannot explain.
void complain(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace preload
