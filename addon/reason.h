#pragma once

#include <cstdarg>
#include <cstdio>

namespace vmb {

/**
 * Why something is refused, in words, or nothing. A text of at most 95 bytes in place: building a std::string
 * from parts has another symbol version since GCC 13, so a prebuilt addon that does it would not load on a
 * system with an older libstdc++ (docs/installation.md).
 */
class Reason {
 public:
  bool empty() const { return text_[0] == '\0'; }
  const char* text() const { return text_; }

  /** Takes the place of what was said before. What is longer is cut. */
  __attribute__((format(printf, 2, 3))) void Say(const char* format, ...) {
    va_list values;
    va_start(values, format);
    std::vsnprintf(text_, sizeof text_, format, values);
    va_end(values);
  }

 private:
  char text_[96] = "";
};

}  // namespace vmb
