#include "settings.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <unistd.h>

#include "real.h"

namespace preload {
namespace {

std::string variable(const char* name) {
  const char* value = getenv(name);
  return value ? value : "";
}

template <typename Pair>
std::vector<Pair> pairs_of(const std::string& list) {
  std::vector<Pair> pairs;
  for (size_t at = 0; at < list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    const std::string pair = list.substr(at, end - at);
    const size_t equals = pair.find('=');
    if (equals != std::string::npos) pairs.push_back({pair.substr(0, equals), pair.substr(equals + 1)});
    at = end + 1;
  }
  return pairs;
}

// TOTAL or TOTAL,USED in MiB. A value that is too small for the rings is ignored.
void set_ram(Settings& settings, const std::string& text) {
  constexpr size_t kLeast = 12;
  size_t total = 0, used = 0;
  const int count = sscanf(text.c_str(), "%zu,%zu", &total, &used);
  if (count < 1 || total < kLeast) return;
  settings.ram = total << 20;
  settings.used_ram = count == 2 && used >= kLeast && used < total ? used << 20 : 0;
}

Settings read_settings() {
  Settings settings;
  settings.nodes = pairs_of<Settings::Node>(variable("VMB_PRELOAD"));
  settings.media = pairs_of<Settings::Media>(variable("VMB_PRELOAD_MEDIA"));
  settings.crosvm = variable("VMB_PRELOAD_VMM") == "crosvm";
  settings.objects = variable("VMB_PRELOAD_OBJECTS") == "1";
  settings.echo = !settings.crosvm && variable("VMB_PRELOAD_ECHO") != "0";
  if (const std::string name = variable("VMB_PRELOAD_DRIVER"); !name.empty()) settings.driver = name.substr(0, 15);
  settings.trace = variable("VMB_PRELOAD_TRACE");
  set_ram(settings, variable("VMB_PRELOAD_RAM"));
  return settings;
}

void write_line(int fd, const char* prefix, const char* format, va_list arguments) {
  char line[512];
  int length = snprintf(line, sizeof line, "%s", prefix);
  length += vsnprintf(line + length, sizeof line - length - 1, format, arguments);
  length = std::min<int>(length, sizeof line - 2);
  line[length] = '\n';
  (void)!real::write(fd, line, length + 1);
}

}  // namespace

const Settings& Settings::get() {
  static const Settings& settings = *new Settings(read_settings());
  return settings;
}

const std::string* Settings::socket(const char* path) const {
  for (const Node& node : nodes)
    if (node.path == path) return &node.socket;
  return nullptr;
}

const std::string* Settings::node_of_media(const char* path) const {
  for (const Media& each : media)
    if (each.path == path) return &each.node;
  return nullptr;
}

bool Settings::has_media(const std::string& node) const {
  return std::ranges::any_of(media, [&](const Media& each) { return each.node == node; });
}

void trace(const char* format, ...) {
  const std::string& path = Settings::get().trace;
  static const int fd = path.empty() ? -1 : real::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return;
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  char prefix[48];
  snprintf(prefix, sizeof prefix, "%ld.%06ld %d ", static_cast<long>(now.tv_sec), now.tv_nsec / 1000, gettid());
  va_list arguments;
  va_start(arguments, format);
  write_line(fd, prefix, format, arguments);
  va_end(arguments);
}

void complain(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  write_line(STDERR_FILENO, "preload: ", format, arguments);
  va_end(arguments);
}

}  // namespace preload
