/** A USB webcam without hardware; see README.md. */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include "camera.h"

namespace {

constexpr char kUsage[] =
    "usage: usb-camera serve [--socket PATH] [--name NAME] [--serial TEXT] [--port NUMBER]\n"
    "       usb-camera tell --socket PATH WORD [ARGUMENT]...\n";

[[noreturn]] void Misused() {
  fputs(kUsage, stderr);
  exit(2);
}

/** Takes the options from the front of the remaining arguments. */
usb_camera::Options Parse(char**& rest) {
  usb_camera::Options options;
  for (; *rest != nullptr && strncmp(*rest, "--", 2) == 0; rest += 2) {
    const std::string option = rest[0];
    if (rest[1] == nullptr) Misused();
    if (option == "--socket")
      options.socket = rest[1];
    else if (option == "--name")
      options.name = rest[1];
    else if (option == "--serial")
      options.serial = rest[1];
    else if (option == "--port")
      options.port = static_cast<unsigned>(atoi(rest[1]));
    else
      Misused();
  }
  return options;
}

int Tell(const usb_camera::Options& options, char** words) {
  std::string line;
  for (; *words != nullptr; ++words) line += (line.empty() ? "" : " ") + std::string(*words);
  if (line.empty() || options.socket.empty()) Misused();
  const std::string answer = usb_camera::Ask(options.socket, line);
  puts(answer.c_str());
  return answer == "ok" || answer.starts_with("/dev/") ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) Misused();
  const std::string verb = argv[1];
  char** rest = argv + 2;
  const usb_camera::Options options = Parse(rest);
  try {
    if (verb == "tell") return Tell(options, rest);
    if (verb != "serve" || *rest != nullptr) Misused();
    usb_camera::Camera(options).Run();
  } catch (const std::exception& error) {
    fprintf(stderr, "usb-camera: %s\n", error.what());
    return 1;
  }
}
