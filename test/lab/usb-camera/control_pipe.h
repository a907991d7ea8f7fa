/** Endpoint 0: standard and class requests. */
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>

#include "controls.h"
#include "descriptors.h"
#include "faults.h"
#include "link.h"
#include "negotiation.h"
#include "video_pipe.h"

namespace usb_camera {

class ControlPipe {
 public:
  ControlPipe(Strings strings, const Faults& faults, Controls& controls, VideoPipe& video)
      : strings_(std::move(strings)), faults_(faults), controls_(controls), video_(video) {}

  void Take(Link& link, Transfer transfer);
  /** Returns whether the transfer was waiting. */
  bool Drop(uint32_t sequence);
  /** Forgets the transfers of the old host. */
  void Reset() { waiting_.clear(); }
  /** Sends the answers that are due. */
  void Run(Link& link, Clock::time_point now);
  std::optional<Clock::time_point> next() const;

 private:
  struct Waiting {
    Transfer transfer;
    std::optional<Bytes> answer;
    /** No value: it is never answered. */
    std::optional<Clock::time_point> due;
  };

  std::optional<Bytes> Answer(const Transfer& transfer);
  std::optional<Bytes> AnswerStandard(const Transfer& transfer);
  std::optional<Bytes> AnswerClass(const Transfer& transfer);

  const Strings strings_;
  const Faults& faults_;
  Controls& controls_;
  VideoPipe& video_;
  Negotiation negotiation_;
  std::list<Waiting> waiting_;
};

}  // namespace usb_camera
