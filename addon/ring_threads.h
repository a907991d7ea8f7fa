#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "command_table.h"
#include "loop_wake.h"
#include "split_ring.h"
#include "unique_fd.h"

namespace vmb {

/**
 * The threads of a commandq: leader and followers. While the loop has lent the ring to them, they all wait for the kick;
 * the one that gets it leads: it pops chains and runs flat commands. Before it enters the kernel with a command, another
 * may lead, so an ioctl that hangs holds its thread and its session, and nothing else. What is not a flat command of an
 * idle session stays in the ring, and the ring goes back to the loop.
 *
 * Lock order: the ring's mutex, then the command table's, then a gate's. No lock is held over a system call.
 */
class RingThreads : public std::enable_shared_from_this<RingThreads> {
 public:
  /** Milliseconds. */
  struct Limits {
    int64_t deadline;
    int64_t last_write;
    int64_t guest_timeout;
    /** The last of them runs no command. */
    uint32_t threads;
  };
  enum class What : uint8_t { kExpired, kFailed, kLate };
  /** What the loop has to do for a session. */
  struct Notice {
    What what;
    uint32_t session;
    int error;
    /** kLate: the command as the guest sent it, and what would have followed the response header. */
    std::vector<uint8_t> request;
    std::vector<uint8_t> payload;
  };

  RingThreads(std::shared_ptr<SplitRing> ring, std::shared_ptr<CommandTable> table,
              std::shared_ptr<LoopWake> wake, Limits limits)
      : ring_(std::move(ring)), table_(std::move(table)), wake_(std::move(wake)), limits_(limits) {}

  // On the loop.

  /** Returns an errno. */
  int Open(int kick);
  int SetKick(int kick);
  /** The threads take the chains from now on. Returns an errno, and then the loop still does. */
  int Lend();
  /** The loop takes the chains from now on. Commands that run go on. */
  void Reclaim();
  bool is_lent() const;
  /** Answers every command that runs, although its ioctl goes on. */
  void Interrupt(int error);
  std::optional<Notice> TakeNotice();
  /** The threads end when their ioctls do. The ring has stopped. */
  void Stop();
  /** A command runs, or a notice waits. */
  bool is_busy() const;

 private:
  struct Running {
    uint32_t session;
    Chain chain;
    FlatCommand command;
    int64_t since;
    bool answered = false;
  };

  static void* Main(void* self);
  void Work();
  void Lead();
  bool Follow(std::unique_lock<std::mutex>& lock);
  bool RunNext(std::unique_lock<std::mutex>& lock);
  std::shared_ptr<const FlatSession> Read(std::vector<uint8_t>& request, uint32_t& number);
  void Run(Running& running, const FlatSession& session, std::span<const uint8_t> request,
           std::unique_lock<std::mutex>& lock);
  void Finish(Running& running, const FlatSession& session, std::span<const uint8_t> request, int error);
  void Answer(Running& running, int error, const std::array<std::span<const uint8_t>, 2>& payload);
  void Expire();
  void ToLoop();
  int StartOne();
  int Watch(int operation, uint32_t events);

  const std::shared_ptr<SplitRing> ring_;
  const std::shared_ptr<CommandTable> table_;
  const std::shared_ptr<LoopWake> wake_;
  const Limits limits_;

  UniqueFd epoll_;
  UniqueFd stop_;
  UniqueFd more_;
  UniqueFd timer_;
  UniqueFd kick_;

  // The rest is behind the ring's mutex.
  bool lent_ = false;
  bool stopping_ = false;
  uint32_t threads_ = 0;
  /** Threads that wait for the kick, or are about to. */
  uint32_t waiting_ = 0;
  bool timer_runs_ = false;
  std::list<Running> running_;
  std::deque<Notice> notices_;
};

}  // namespace vmb
