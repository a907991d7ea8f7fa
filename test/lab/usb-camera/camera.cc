#include "camera.h"

#include <algorithm>
#include <cstdio>
#include <sstream>
#include <system_error>

#include "uvc.h"

namespace usb_camera {

namespace {

using std::chrono::milliseconds;

/** How often the kernel's progress is checked. sysfs cannot be polled for it. */
constexpr milliseconds kLook(10);

struct FaultCommand {
  std::string_view word;
  void (*apply)(Faults& faults, std::istream& arguments);
};

/** Argument: which frames have the fault; without it, all have. */
template <Frames frames>
void Spoil(Faults& faults, std::istream& arguments) {
  faults.frames = frames;
  if (!(arguments >> faults.every) || faults.every == 0) faults.every = 1;
}

constexpr FaultCommand kFaultCommands[] = {
    {"well", [](Faults& faults, std::istream&) { faults = {}; }},
    {"silent", [](Faults& faults, std::istream&) { faults.answers = Answers::kNever; }},
    {"stall", [](Faults& faults, std::istream&) { faults.answers = Answers::kStalls; }},
    {"delay",
     [](Faults& faults, std::istream& arguments) {
       unsigned count = 0;
       arguments >> count;
       faults.delay = milliseconds(count);
       faults.answers = Answers::kLate;
     }},
    {"no-frames", [](Faults& faults, std::istream&) { faults.frames = Frames::kNone; }},
    {"short-frames", Spoil<Frames::kShort>},
    {"endless-frames", Spoil<Frames::kEndless>},
    {"damaged-frames", Spoil<Frames::kDamaged>},
};

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

void Print(const std::string& line) {
  puts(line.c_str());
  fflush(stdout);
}

}  // namespace

Camera::Camera(const Options& options)
    : port_(options.port),
      control_({options.name, options.serial}, faults_, controls_, video_),
      commands_(options.socket,
                [this](const std::string& line, Answer answer) { Obey(line, std::move(answer)); }) {}

void Camera::Run() {
  Plug(Print);
  for (;;) {
    std::vector<pollfd> waits;
    if (link_) waits.push_back({link_->fd(), POLLIN, 0});
    commands_.AddTo(waits);
    poll(waits.data(), waits.size(), Timeout(Clock::now()));
    if (link_ && waits.front().revents != 0) Receive();
    commands_.Serve(waits);
    if (link_) {
      const Clock::time_point now = Clock::now();
      control_.Run(*link_, now);
      video_.Run(*link_, now);
      status_.Run(*link_);
    }
    if (awaited_ != Awaited::kNothing) Settle();
  }
}

void Camera::Obey(const std::string& line, Answer answer) {
  std::istringstream words(line);
  std::string word;
  words >> word;
  const auto* fault = std::ranges::find(kFaultCommands, word, &FaultCommand::word);
  if (fault != std::end(kFaultCommands)) {
    fault->apply(faults_, words);
    answer("ok");
  } else if (word == "unplug") {
    Unplug(std::move(answer));
  } else if (word == "replug") {
    Plug(std::move(answer));
  } else if (word == "turn") {
    std::string name;
    int32_t value = 0;
    words >> name >> value;
    answer(controls_.Turn(name, value) ? "ok" : "there is no knob " + name);
  } else {
    answer("unknown command " + word);
  }
}

void Camera::Plug(Answer answer) {
  if (link_) return answer("it is plugged in");
  video_.Reset();
  status_.Reset();
  control_.Reset();
  latest_ = 0;
  early_unlinks_.clear();
  link_.emplace(port_.Plug());
  awaited_ = Awaited::kNodes;
  settled_ = std::move(answer);
}

void Camera::Unplug(Answer answer) {
  link_.reset();
  awaited_ = Awaited::kFreePort;
  settled_ = std::move(answer);
}

void Camera::Settle() {
  const std::vector<std::string> nodes = port_.Nodes();
  const bool plugged = awaited_ == Awaited::kNodes;
  if (plugged ? nodes.size() < 2 || !Port::KeepAwake(nodes) : !nodes.empty() || !port_.is_free()) return;
  awaited_ = Awaited::kNothing;
  std::exchange(settled_, nullptr)(plugged ? Joined(nodes) : "ok");
}

/** Receives one message. poll() reports the next one. */
void Camera::Receive() {
  std::optional<Transfer> transfer = link_->Receive();
  if (!transfer) {
    link_.reset();
    return;
  }
  if (transfer->unlink) {
    Unlink(transfer->sequence, transfer->length);
    return;
  }
  latest_ = transfer->sequence;
  if (const auto early = early_unlinks_.extract(latest_); !early.empty())
    link_->Unlinked(early.mapped(), true);
  else if (transfer->endpoint == kControlEndpoint)
    control_.Take(*link_, std::move(*transfer));
  else if (transfer->endpoint == kVideoEndpoint)
    video_.Take(std::move(*transfer));
  else
    status_.Take(std::move(*transfer));
}

/**
 * vhci-hcd numbers its transfers upwards. If a transfer and its unlink are requested while it is busy with
 * other unlinks, it sends the unlink first. If we answered before the transfer has arrived, vhci-hcd would
 * end a transfer that we still have; our completion would then be one too many, and vhci-hcd would disconnect
 * the device.
 */
void Camera::Unlink(uint32_t sequence, uint32_t dropped) {
  if (dropped > latest_)
    early_unlinks_[dropped] = sequence;
  else
    link_->Unlinked(sequence, control_.Drop(dropped) || video_.Drop(dropped) || status_.Drop(dropped));
}

/** Milliseconds until there is something to do, rounded up; -1: nothing until a message arrives. */
int Camera::Timeout(Clock::time_point now) const {
  std::optional<Clock::time_point> next;
  if (link_) next = Earlier(control_.next(), video_.next());
  if (awaited_ != Awaited::kNothing) next = Earlier(next, now + kLook);
  if (!next) return -1;
  return static_cast<int>(std::max<int64_t>(0, std::chrono::ceil<milliseconds>(*next - now).count()));
}

}  // namespace usb_camera
