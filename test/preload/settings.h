// Settings from the environment; README.md describes the variables.
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
  // Media devices: their path and the path of their node.
  std::vector<Media> media;
  bool crosvm = false;
  bool objects = false;
  // Whether memory that the back-end maps comes back as a memory region, as with QEMU.
  bool echo = true;
  // The driver's name in QUERYCAP.
  std::string driver = "virtio-media";
  std::string trace;
  // Bytes of the guest's RAM (0: as GuestRam has it), and of the part from which pages are taken (0: all).
  size_t ram = 0;
  size_t used_ram = 0;

  static const Settings& get();
  // The socket of a path that a program opens; nullptr: the path is not taken over.
  const std::string* socket(const char* path) const;
  // The node of a media device's path; nullptr: the path is not taken over.
  const std::string* node_of_media(const char* path) const;
  // Whether the node at this path has a media device.
  bool has_media(const std::string& node) const;
};

// Appends one line to the file VMB_PRELOAD_TRACE, if the variable is set.
void trace(const char* format, ...) __attribute__((format(printf, 1, 2)));
// Prints one line on standard error: the cause of an errno that the program cannot explain.
void complain(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace preload
