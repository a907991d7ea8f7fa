// The guest's driver: commands on the commandq, one in flight, and the event buffers of the eventq.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "front_end.h"
#include "kernel_memory.h"

namespace preload {

// A record of a command: bytes of ours, copied to guest memory before and back afterwards. One that is both written
// and read by the device is in the chain twice with the same guest memory. A pointed one is not in the chain: the SG
// list of its memory is.
struct Part {
  enum Direction { kToDevice = 1, kFromDevice = 2, kBoth = 3, kPointed = 4 };
  void* data;
  size_t size;
  Direction direction;
};

// How an answer of the device is judged. `least`: bytes that it must have written, on success and on an error.
struct Judgement {
  size_t least = 0, least_on_error = 0;
};

class Driver {
 public:
  Driver(GuestRam& ram, FrontEnd& front_end) : ram_(ram), front_end_(front_end) {}

  // Makes both queues, posts the event buffers and starts the device.
  bool probe();

  // Negative errno or 0, as the guest's system calls have it.
  int open(uint32_t* session);
  void close(uint32_t session, uint32_t stale);
  // `parts`: the payload and what follows it.
  int ioctl(uint32_t session, uint32_t code, std::span<const Part> parts, Judgement judgement);
  int mmap(uint32_t session, uint32_t offset, bool writable, uint64_t* address, uint64_t* length);
  int munmap(uint64_t address);

  using Handler = std::function<void(const wire::Event&, uint32_t bytes)>;
  void on_event(Handler handler) { handler_ = std::move(handler); }
  // Hands every event that has arrived to the handler; each buffer goes back right after. From any thread.
  void process_events();
  // Readable when there may be events.
  int events_fd() const { return eventq_->call_fd(); }
  // Nothing of the device is touched any more: commands fail with ENODEV.
  void abandon() { abandoned_ = true; }

 private:
  // Bytes that the device says it has written, or a negative errno.
  int run(std::span<const Part> parts);
  int submit(std::span<const Part> parts, std::span<uint8_t* const> places);
  // The SG list of memory at `place`, in guest memory.
  bool list(const uint8_t* place, size_t bytes, std::vector<Piece>& chain);
  int wait(int head);

  GuestRam& ram_;
  FrontEnd& front_end_;
  std::mutex mutex_, events_mutex_;
  std::unique_ptr<Virtqueue> commandq_, eventq_;
  std::unique_ptr<KernelMemory> memory_, event_memory_;
  std::vector<uint8_t*> event_buffers_;
  Handler handler_;
  volatile bool abandoned_ = false;
};

}  // namespace preload
