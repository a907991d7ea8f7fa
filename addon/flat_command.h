#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "frame_plan.h"
#include "open_node.h"
#include "row_rule.h"
#include "v4l2_uapi.h"

namespace vmb {

/** How the bytes of an ioctl cross (FlatKind of src/v4l2/ioctls.ts). */
enum class FlatKind : uint8_t { kNone, kPayload, kControls, kQueue };

/**
 * One ioctl of a guest that needs no decision: its bytes go to the kernel and back. It works on its own copies, and any
 * thread may run it.
 */
class FlatCommand {
 public:
  /** Virtio-media's command header and the largest body that is taken here. */
  static constexpr size_t kHeader = 16;
  static constexpr size_t kMaxBytes = 4096;

  /**
   * `rule`: stays until the command is answered. `body`: what follows the header. `node`: the gate has let the caller
   * in. False: the loop has to look at it.
   */
  bool Parse(uint32_t number, FlatKind kind, const RowRule& rule, std::span<const uint8_t> body, OpenNode& node);
  /** Returns an errno. */
  int Run(OpenNode& node);
  /** What follows the response header when Run has returned `error`. */
  std::array<std::span<const uint8_t>, 2> Answer(int error) const;
  /** The same for a command that is answered before Run has ended: only what the guest has sent. */
  std::array<std::span<const uint8_t>, 2> Refusal() const;

 private:
  bool ParsePayload(uint32_t number, std::span<const uint8_t> body);
  bool ParseControls(uint32_t number, std::span<const uint8_t> body);
  bool ParseQueue(std::span<const uint8_t> body, FramePlan* plan);
  int RunPayload(int fd);
  int RunControls(int fd);
  int RunQueue(int fd);

  FlatKind kind_ = FlatKind::kNone;
  const RowRule* rule_ = nullptr;
  unsigned long code_ = 0;
  size_t size_ = 0;
  /** v4l2_enc_idx is the largest payload. */
  alignas(8) std::array<uint8_t, sizeof(v4l2_enc_idx)> payload_;
  std::vector<v4l2_ext_control> controls_;
  /** The queue of a plan, which stays as long as the gate is the caller's. */
  FramePlan::Queue* queue_ = nullptr;
  v4l2_buffer buffer_;
  FramePlan::Planes planes_;
  /** The payload and the records after it, as the guest has sent them. */
  std::span<const uint8_t> body_;
};

}  // namespace vmb
