// The guest's driver: commands on the commandq, one at a time, and the event buffers of the eventq.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "front_end.h"
#include "kernel_memory.h"

namespace preload {

// A record of a command: bytes of this process, copied to guest memory before the command and back after it.
// A record that the device both reads and writes is in the chain twice, with the same guest memory. A record
// with direction kPointed is not in the chain; the SG list of its memory is.
struct Part {
  enum Direction { kToDevice = 1, kFromDevice = 2, kBoth = 3, kPointed = 4 };
  void* data;
  size_t size;
  Direction direction;
};

// How an answer is judged. `least`, `least_on_error`: bytes that the device must have written on success and
// on an error.
struct Judgement {
  size_t least = 0, least_on_error = 0;
};

class Driver {
 public:
  Driver(GuestRam& ram, FrontEnd& front_end) : ram_(ram), front_end_(front_end) {}

  // Makes both queues, posts the event buffers and starts the device.
  bool probe();

  // These return 0 or a negative errno, as the guest's system calls do.
  int open(uint32_t* session);
  void close(uint32_t session, uint32_t stale);
  // `parts`: the payload and what follows it.
  int ioctl(uint32_t session, uint32_t code, std::span<const Part> parts, Judgement judgement);
  int mmap(uint32_t session, uint32_t offset, bool writable, uint64_t* address, uint64_t* length);
  int munmap(uint64_t address);

  using Handler = std::function<void(const wire::Event&, uint32_t bytes)>;
  void on_event(Handler handler) { handler_ = std::move(handler); }
  // Calls the handler for every event that has arrived. Each buffer goes back to the device after that. May
  // be called from any thread.
  void process_events();
  // A descriptor that is readable when there may be events.
  int events_fd() const { return eventq_->call_fd(); }
  // From now on nothing of the device is touched: commands fail with ENODEV.
  void abandon() { abandoned_ = true; }

 private:
  // Returns the number of bytes that the device reports as written, or a negative errno.
  int run(std::span<const Part> parts);
  int submit(std::span<const Part> parts, std::span<uint8_t* const> places);
  // Appends the SG list of the memory at `place`; the list itself is in guest memory.
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
