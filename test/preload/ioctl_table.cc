#include "ioctl_table.h"

#include <algorithm>
#include <cstddef>

namespace preload {
namespace {

#define UP_TO(record, field) (offsetof(record, field) + sizeof(record::field))
#define ROW(name, input, rules, nodes, handler) {VIDIOC_##name, #name, input, rules, nodes, handler}

constexpr uint16_t kPictures = kVideo | kTouch;
constexpr uint16_t kInputs = kVideo | kVbi | kMeta;
constexpr uint16_t kFormats = kVideo | kVbi | kMeta | kSdr | kTouch;
constexpr uint16_t kQueues = kAny | kStreaming;

// clang-format off
constexpr Row kRows[] = {
  //  name               input that counts                      rules        nodes                     handler
  ROW(QUERYCAP,          0,                                     0,           kAny,                     query_capabilities),
  ROW(ENUM_FMT,          0,                                     0,           kPictures | kMeta | kSdr, forward),
  ROW(G_FMT,             UP_TO(v4l2_format, type),              0,           kFormats,                 format),
  ROW(S_FMT,             0,                                     kPriority,   kFormats,                 format),
  ROW(TRY_FMT,           0,                                     0,           kFormats,                 format),
  ROW(REQBUFS,           0,                                     kPriority,   kQueues,                  request_buffers),
  ROW(QUERYBUF,          UP_TO(v4l2_buffer, length),            0,           kQueues,                  query_buffer),
  ROW(QBUF,              0,                                     0,           kQueues,                  queue_buffer),
  ROW(EXPBUF,            UP_TO(v4l2_exportbuffer, flags),       0,           kQueues,                  export_buffer),
  ROW(DQBUF,             0,                                     0,           kQueues,                  dequeue_buffer),
  ROW(STREAMON,          0,                                     kPriority,   kQueues,                  stream_on),
  ROW(STREAMOFF,         0,                                     kPriority,   kQueues,                  stream_off),
  ROW(CREATE_BUFS,       0,                                     kPriority,   kQueues,                  create_buffers),
  ROW(PREPARE_BUF,       0,                                     0,           kQueues,                  prepare_buffer),
  ROW(REMOVE_BUFS,       UP_TO(v4l2_remove_buffers, type),      kPriority,   kQueues,                  remove_buffers),
  ROW(G_PARM,            UP_TO(v4l2_streamparm, type),          0,           kInputs | kTouch,         forward),
  ROW(S_PARM,            0,                                     kPriority,   kInputs | kTouch,         forward),
  ROW(G_STD,             0,                                     0,           kInputs,                  forward),
  ROW(S_STD,             0,                                     kPriority,   kInputs,                  forward),
  ROW(ENUMSTD,           UP_TO(v4l2_standard, index),           0,           kInputs,                  forward),
  ROW(QUERYSTD,          0,                                     0,           kInputs | kReceiver,      forward),
  ROW(ENUMINPUT,         UP_TO(v4l2_input, index),              0,           kInputs | kTouch | kReceiver, forward),
  ROW(G_INPUT,           0,                                     0,           kInputs | kTouch | kReceiver, get_number),
  ROW(S_INPUT,           0,                                     kPriority,   kInputs | kTouch | kReceiver, forward),
  ROW(ENUMOUTPUT,        UP_TO(v4l2_output, index),             0,           kInputs | kTransmitter,   forward),
  ROW(G_OUTPUT,          0,                                     0,           kInputs | kTransmitter,   get_number),
  ROW(S_OUTPUT,          0,                                     kPriority,   kInputs | kTransmitter,   forward),
  ROW(ENUMAUDIO,         UP_TO(v4l2_audio, index),              0,           kInputs | kReceiver,      forward),
  ROW(G_AUDIO,           0,                                     0,           kInputs | kReceiver,      forward),
  ROW(S_AUDIO,           0,                                     kPriority,   kInputs | kReceiver,      forward),
  ROW(ENUMAUDOUT,        UP_TO(v4l2_audioout, index),           0,           kInputs | kTransmitter,   forward),
  ROW(G_AUDOUT,          0,                                     0,           kInputs | kTransmitter,   forward),
  ROW(S_AUDOUT,          0,                                     kPriority,   kInputs | kTransmitter,   forward),
  ROW(QUERYCTRL,         UP_TO(v4l2_queryctrl, id),             0,           kAny,                     query_control),
  ROW(QUERYMENU,         UP_TO(v4l2_querymenu, index),          0,           kAny,                     forward),
  ROW(G_CTRL,            UP_TO(v4l2_control, id),               0,           kAny,                     get_control),
  ROW(S_CTRL,            0,                                     kPriority,   kAny,                     set_control),
  ROW(QUERY_EXT_CTRL,    UP_TO(v4l2_query_ext_ctrl, id),        0,           kAny,                     forward),
  ROW(G_EXT_CTRLS,       0,                                     kAlwaysCopy, kAny,                     extended_controls),
  ROW(S_EXT_CTRLS,       0,                         kPriority | kAlwaysCopy, kAny,                     extended_controls),
  ROW(TRY_EXT_CTRLS,     0,                                     kAlwaysCopy, kAny,                     extended_controls),
  ROW(G_TUNER,           UP_TO(v4l2_tuner, index),              0,           (kAny & ~kTouch) | kReceiver, forward),
  ROW(S_TUNER,           0,                                     kPriority,   (kAny & ~kTouch) | kReceiver, forward),
  ROW(G_MODULATOR,       UP_TO(v4l2_modulator, index),          0,           kRadio | kSdr | kTransmitter, forward),
  ROW(S_MODULATOR,       0,                                     kPriority,   kRadio | kSdr | kTransmitter, forward),
  ROW(G_FREQUENCY,       UP_TO(v4l2_frequency, tuner),          0,           kAny,                     forward),
  ROW(S_FREQUENCY,       0,                                     kPriority,   kAny,                     forward),
  ROW(ENUM_FREQ_BANDS,   0,                                     0,           kAny,                     forward),
  ROW(S_HW_FREQ_SEEK,    0,                                     kPriority,   (kAny & ~kTouch) | kReceiver, forward),
  ROW(G_SLICED_VBI_CAP,  UP_TO(v4l2_sliced_vbi_cap, type),      0,           kVbi,                     forward),
  ROW(CROPCAP,           UP_TO(v4l2_cropcap, type),             0,           kPictures,                forward),
  ROW(G_CROP,            UP_TO(v4l2_crop, type),                0,           kPictures,                forward),
  ROW(S_CROP,            0,                                     kPriority,   kPictures,                forward),
  ROW(G_SELECTION,       UP_TO(v4l2_selection, r),              0,           kPictures,                forward),
  ROW(S_SELECTION,       UP_TO(v4l2_selection, r),              kPriority,   kPictures,                forward),
  ROW(ENUM_FRAMESIZES,   UP_TO(v4l2_frmsizeenum, pixel_format), 0,           kPictures,                forward),
  ROW(ENUM_FRAMEINTERVALS, UP_TO(v4l2_frmivalenum, height),     0,           kPictures,                forward),
  ROW(G_ENC_INDEX,       0,                                     0,           kVideo,                   forward),
  ROW(ENCODER_CMD,       UP_TO(v4l2_encoder_cmd, flags),        kPriority,   kVideo,                   coder_command),
  ROW(TRY_ENCODER_CMD,   UP_TO(v4l2_encoder_cmd, flags),        0,           kVideo,                   forward),
  ROW(DECODER_CMD,       0,                                     kPriority,   kVideo,                   coder_command),
  ROW(TRY_DECODER_CMD,   0,                                     0,           kVideo,                   forward),
  ROW(S_DV_TIMINGS,      UP_TO(v4l2_dv_timings, bt.flags),      kPriority,   kInputs,                  forward),
  ROW(G_DV_TIMINGS,      0,                                     0,           kInputs,                  forward),
  ROW(ENUM_DV_TIMINGS,   UP_TO(v4l2_enum_dv_timings, pad),      0,           kInputs,                  forward),
  ROW(QUERY_DV_TIMINGS,  0,                                     kAlwaysCopy, kInputs | kReceiver,      forward),
  ROW(DV_TIMINGS_CAP,    UP_TO(v4l2_dv_timings_cap, pad),       0,           kInputs,                  forward),
  ROW(G_EDID,            0,                                     kAlwaysCopy, kInputs,                  edid),
  ROW(S_EDID,            0,                         kPriority | kAlwaysCopy, kInputs,                  edid),
  ROW(G_PRIORITY,        0,                                     0,           kAny,                     get_priority),
  ROW(S_PRIORITY,        0,                                     kPriority,   kAny,                     set_priority),
  ROW(SUBSCRIBE_EVENT,   0,                                     0,           kAny,                     subscribe_event),
  ROW(UNSUBSCRIBE_EVENT, 0,                                     0,           kAny,                     unsubscribe_event),
  ROW(DQEVENT,           0,                                     0,           kAny,                     dequeue_event),
};
// clang-format on

static_assert(std::ranges::all_of(kRows, [](const Row& row) { return row.size() <= kMaxPayload; }));

// enum vfl_devnode_type of include/media/v4l2-dev.h.
enum VflType : uint32_t { kVflVideo, kVflVbi, kVflRadio, kVflSubdevice, kVflSdr, kVflTouch };

uint16_t nodes_of(const Device& device) {
  const auto [caps, type, card] = device.config();
  const uint16_t directions = (device.is_capture() ? kReceiver : 0) | (device.is_output() ? kTransmitter : 0) |
                              (caps & V4L2_CAP_STREAMING ? kStreaming : 0);
  switch (type) {
    case kVflVbi: return directions | kVbi;
    case kVflRadio: return directions | kRadio;
    case kVflSdr: return directions | kSdr;
    case kVflTouch: return directions | kTouch;
    default: return directions | (caps & (V4L2_CAP_META_CAPTURE | V4L2_CAP_META_OUTPUT) ? kMeta : kVideo);
  }
}

}  // namespace

const Row* find_row(unsigned request) {
  const auto found = std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& row) { return row.request == request; });
  return found == std::end(kRows) ? nullptr : found;
}

bool is_valid(const Row& row, const Device& device) {
  const uint16_t nodes = nodes_of(device);
  const uint16_t directions = row.nodes & (kReceiver | kTransmitter);
  return (row.nodes & nodes & kAny) && (!directions || (directions & nodes)) &&
         (!(row.nodes & kStreaming) || (nodes & kStreaming));
}

}  // namespace preload
