#include "control_pipe.h"

#include <errno.h>

#include "descriptors.h"
#include "uvc.h"

namespace usb_camera {

namespace {

/** Fields of the set-up packet. The two bytes of wValue and of wIndex have meanings of their own. */
struct Request {
  uint8_t type, number, value_low, value_high, index_low, index_high;
  explicit Request(const Setup& setup)
      : type(setup[0]),
        number(setup[1]),
        value_low(setup[2]),
        value_high(setup[3]),
        index_low(setup[4]),
        index_high(setup[5]) {}
  bool is_class() const { return (type & usb::kTypeMask) == usb::kClassType; }
};

void Send(Link& link, const Transfer& transfer, const std::optional<Bytes>& answer) {
  if (answer)
    link.Complete(transfer, 0, *answer);
  else
    link.Complete(transfer, -EPIPE);
}

}  // namespace

void ControlPipe::Take(Link& link, Transfer transfer) {
  const bool refused = faults_.answers == Answers::kStalls && Request(transfer.setup).is_class();
  const std::optional<Bytes> answer = refused ? std::nullopt : Answer(transfer);
  if (faults_.answers == Answers::kNever)
    waiting_.push_back({std::move(transfer), answer, {}});
  else if (faults_.answers == Answers::kLate)
    waiting_.push_back({std::move(transfer), answer, Clock::now() + faults_.delay});
  else
    Send(link, transfer, answer);
}

bool ControlPipe::Drop(uint32_t sequence) {
  return waiting_.remove_if([&](const Waiting& each) { return each.transfer.sequence == sequence; }) > 0;
}

void ControlPipe::Run(Link& link, Clock::time_point now) {
  waiting_.remove_if([&](const Waiting& each) {
    if (!each.due || *each.due > now) return false;
    Send(link, each.transfer, each.answer);
    return true;
  });
}

std::optional<Clock::time_point> ControlPipe::next() const {
  std::optional<Clock::time_point> next;
  for (const Waiting& each : waiting_) next = Earlier(next, each.due);
  return next;
}

std::optional<Bytes> ControlPipe::Answer(const Transfer& transfer) {
  return Request(transfer.setup).is_class() ? AnswerClass(transfer) : AnswerStandard(transfer);
}

std::optional<Bytes> ControlPipe::AnswerStandard(const Transfer& transfer) {
  const Request request(transfer.setup);
  switch (request.number) {
    case usb::kGetDescriptor:
      return FindDescriptor(request.value_high, request.value_low, strings_);
    case usb::kGetStatus:
      return Record(Word{0});
    case usb::kClearFeature:
      // A host ends a bulk stream in this way. The next data begins with a new frame.
      if ((request.type & usb::kRecipientMask) == usb::kToEndpoint) video_.Stop();
      return Bytes();
    case usb::kSetAddress:
    case usb::kSetConfiguration:
    case usb::kSetInterface:
      return Bytes();
    default:
      return {};
  }
}

std::optional<Bytes> ControlPipe::AnswerClass(const Transfer& transfer) {
  const Request request(transfer.setup);
  if (request.index_low == kControlInterface)
    return controls_.Handle(request.index_high, request.value_high, request.number, transfer.data);
  const std::optional<Bytes> answer = negotiation_.Handle(request.value_high, request.number, transfer.data);
  if (request.value_high == uvc::kCommit && request.number == uvc::kSetCur) video_.Start(negotiation_.mode());
  return answer;
}

}  // namespace usb_camera
