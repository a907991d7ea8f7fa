#include "buffer_record.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "arguments.h"

namespace vmb {

namespace {

constexpr uint32_t kRequest = V4L2_BUF_FLAG_REQUEST_FD | V4L2_BUF_FLAG_IN_REQUEST;
/** Bits that the host kernel sets and that mean something else to the guest. */
constexpr uint32_t kHidden = kRequest | V4L2_BUF_FLAG_MAPPED;
/** Bits that describe a buffer which the driver has or is done with. */
constexpr uint32_t kQueued = V4L2_BUF_FLAG_QUEUED | V4L2_BUF_FLAG_DONE;

constexpr size_t kWord = sizeof(uint32_t);

/** Copies of the records that JavaScript gives as the first two arguments. They are written back. */
class Records {
 public:
  explicit Records(Arguments& arguments) : given_(arguments.Bytes(0)), given_planes_(arguments.Bytes(1)) {
    if (given_.size() != sizeof buffer) arguments.Refuse(0, "a v4l2_buffer");
    if (given_planes_.size() % sizeof(v4l2_plane) != 0 || given_planes_.size() > sizeof planes_)
      arguments.Refuse(1, "v4l2_plane records");
    if (!arguments.ok()) return;
    std::memcpy(&buffer, given_.data(), given_.size());
    std::ranges::copy(given_planes_, BytesOfPlanes());
  }

  std::span<v4l2_plane> planes() { return std::span(planes_).first(given_planes_.size() / sizeof(v4l2_plane)); }

  void WriteBack() {
    std::memcpy(given_.data(), &buffer, given_.size());
    std::copy_n(BytesOfPlanes(), given_planes_.size(), given_planes_.begin());
  }

  v4l2_buffer buffer;

 private:
  /** memcpy(3) takes no null pointer, which an empty array has. */
  uint8_t* BytesOfPlanes() { return reinterpret_cast<uint8_t*>(planes_.data()); }

  BufferPlanes planes_;
  std::span<uint8_t> given_;
  std::span<uint8_t> given_planes_;
};

/** The third argument: words, of which `fixed` are always there. */
std::vector<uint32_t> WordsOf(Arguments& arguments, size_t fixed) {
  const auto bytes = arguments.Bytes(2);
  std::vector<uint32_t> words(bytes.size() / kWord);
  if (words.size() < fixed) arguments.Refuse(2, "words");
  std::copy_n(bytes.begin(), words.size() * kWord, reinterpret_cast<uint8_t*>(words.data()));
  return words;
}

/** The record, its planes, and the words: memory, flags of the guest, bytes of each plane. */
void HostBufferOf(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "hostBuffer");
  Records records(arguments);
  const std::vector<uint32_t> words = WordsOf(arguments, 2);
  if (!arguments.ok()) return;
  ToHost(records.buffer, records.planes(), {words[0], words[1], std::span(words).subspan(2)});
  records.WriteBack();
}

/**
 * The record, its planes, and the words: memory, shown flags, added flags, request_fd, 1 for a record of DQBUF, the
 * halves of the pointer to the planes, and for each plane the halves of its m and its length.
 */
void GuestBufferOf(const Napi::CallbackInfo& info) {
  constexpr size_t kFixed = 7;
  constexpr size_t kPlane = 3;
  Arguments arguments(info, "guestBuffer");
  Records records(arguments);
  const std::vector<uint32_t> words = WordsOf(arguments, kFixed);
  if (!arguments.ok()) return;
  const auto pair = [&](size_t at) { return words[at] | uint64_t{words[at + 1]} << 32; };
  std::vector<GuestPlane> planes;
  for (size_t at = kFixed; at + kPlane <= words.size(); at += kPlane) planes.push_back({pair(at), words[at + 2]});
  ToGuest(records.buffer, records.planes(), {words[0], words[1], words[2], words[3], words[4] != 0, pair(5), planes});
  records.WriteBack();
}

}  // namespace

v4l2_buffer Fields(const v4l2_buffer& from) {
  v4l2_buffer to;
  std::memset(&to, 0, sizeof to);
  to.index = from.index;
  to.type = from.type;
  to.bytesused = from.bytesused;
  to.flags = from.flags;
  to.field = from.field;
  to.timestamp = from.timestamp;
  to.timecode = from.timecode;
  to.sequence = from.sequence;
  to.memory = from.memory;
  to.length = from.length;
  return to;
}

void ToHost(v4l2_buffer& record, std::span<v4l2_plane> planes, const HostBuffer& own) {
  record = Fields(record);
  record.flags &= own.guest_flags;
  record.memory = own.memory;
  const auto length = [&](size_t i) { return i < own.lengths.size() ? own.lengths[i] : 0; };
  record.length = planes.empty() ? length(0) : static_cast<uint32_t>(planes.size());
  for (size_t i = 0; i < planes.size(); i++) {
    v4l2_plane plane;
    std::memset(&plane, 0, sizeof plane);
    plane.bytesused = planes[i].bytesused;
    plane.length = length(i);
    plane.data_offset = planes[i].data_offset;
    planes[i] = plane;
  }
}

void ToGuest(v4l2_buffer& record, std::span<v4l2_plane> planes, const GuestBuffer& own) {
  record = Fields(record);
  const uint32_t hidden = kHidden | (own.dequeued ? kQueued : 0);
  record.flags = (record.flags & (~hidden | (own.shown_flags & kRequest))) | own.added_flags;
  record.memory = own.memory;
  record.request_fd = static_cast<int32_t>(own.request_fd);
  record.m.userptr = own.pointer;
  if (planes.empty() && !own.planes.empty()) {
    record.m.userptr = own.planes[0].m;
    record.length = own.planes[0].length;
  }
  for (size_t i = 0; i < std::min(planes.size(), own.planes.size()); i++) {
    planes[i].m.userptr = own.planes[i].m;
    planes[i].length = own.planes[i].length;
  }
}

void ExportBufferRecords(Napi::Env env, Napi::Object exports) {
  exports.Set("hostBuffer", Napi::Function::New<HostBufferOf>(env, "hostBuffer"));
  exports.Set("guestBuffer", Napi::Function::New<GuestBufferOf>(env, "guestBuffer"));
}

}  // namespace vmb
