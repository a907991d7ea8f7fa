#include "v4l2_layout.h"

#include <linux/media.h>

#include <string>

#include "v4l2_uapi.h"

namespace vmb {

namespace {

struct Record {
  const char* name;
  size_t size;
};

struct Member {
  const char* name;
  size_t offset;
  size_t size;
};

struct Request {
  const char* name;
  unsigned long code;
};

#define RECORD(type) {#type, sizeof(type)}
#define MEMBER_AS(name, type, member) {#name "." #member, offsetof(type, member), sizeof(type{}.member)}
#define MEMBER(type, member) MEMBER_AS(type, type, member)
#define REQUEST(name) {#name, name}

// clang-format off
constexpr Record kRecords[] = {
    RECORD(v4l2_capability), RECORD(v4l2_buffer), RECORD(v4l2_timecode), RECORD(v4l2_plane),
    RECORD(v4l2_ext_controls), RECORD(v4l2_ext_control), RECORD(v4l2_event), RECORD(v4l2_event_vsync),
    RECORD(v4l2_event_ctrl), RECORD(v4l2_event_frame_sync), RECORD(v4l2_event_src_change),
    RECORD(v4l2_event_subscription), RECORD(v4l2_exportbuffer), RECORD(v4l2_create_buffers),
    RECORD(v4l2_remove_buffers), RECORD(v4l2_requestbuffers), RECORD(v4l2_edid), RECORD(v4l2_format),
    RECORD(v4l2_pix_format), RECORD(v4l2_pix_format_mplane), RECORD(v4l2_plane_pix_format),
    RECORD(v4l2_window), RECORD(v4l2_clip), RECORD(v4l2_framebuffer), RECORD(v4l2_fmtdesc),
    RECORD(v4l2_streamparm), RECORD(v4l2_query_ext_ctrl), RECORD(v4l2_queryctrl), RECORD(v4l2_querymenu),
    RECORD(v4l2_control), RECORD(v4l2_rect), RECORD(v4l2_selection), RECORD(v4l2_frmsizeenum), RECORD(v4l2_frmivalenum),
    RECORD(v4l2_encoder_cmd), RECORD(v4l2_decoder_cmd), RECORD(v4l2_dv_timings), RECORD(v4l2_enum_dv_timings),
    RECORD(v4l2_dv_timings_cap), RECORD(v4l2_enc_idx), RECORD(v4l2_input), RECORD(v4l2_output),
    RECORD(v4l2_standard), RECORD(v4l2_tuner), RECORD(v4l2_modulator), RECORD(v4l2_frequency),
    RECORD(v4l2_frequency_band), RECORD(v4l2_hw_freq_seek), RECORD(v4l2_sliced_vbi_cap), RECORD(v4l2_audio),
    RECORD(v4l2_audioout), RECORD(v4l2_cropcap), RECORD(v4l2_crop), RECORD(v4l2_jpegcompression),
    RECORD(v4l2_dbg_register), RECORD(v4l2_dbg_chip_info),
};

constexpr Member kMembers[] = {
    MEMBER(v4l2_capability, driver), MEMBER(v4l2_capability, card), MEMBER(v4l2_capability, bus_info),
    MEMBER(v4l2_capability, version), MEMBER(v4l2_capability, capabilities),
    MEMBER(v4l2_capability, device_caps), MEMBER(v4l2_capability, reserved),
    MEMBER(v4l2_buffer, index), MEMBER(v4l2_buffer, type), MEMBER(v4l2_buffer, bytesused),
    MEMBER(v4l2_buffer, flags), MEMBER(v4l2_buffer, field), MEMBER(v4l2_buffer, timestamp),
    MEMBER(v4l2_buffer, timestamp.tv_sec), MEMBER(v4l2_buffer, timestamp.tv_usec),
    MEMBER(v4l2_buffer, timecode), MEMBER(v4l2_buffer, sequence), MEMBER(v4l2_buffer, memory),
    MEMBER(v4l2_buffer, m), MEMBER(v4l2_buffer, m.offset), MEMBER(v4l2_buffer, m.userptr),
    MEMBER(v4l2_buffer, m.planes), MEMBER(v4l2_buffer, m.fd), MEMBER(v4l2_buffer, length),
    MEMBER(v4l2_buffer, reserved2), MEMBER(v4l2_buffer, request_fd),
    MEMBER(v4l2_plane, bytesused), MEMBER(v4l2_plane, length), MEMBER(v4l2_plane, m),
    MEMBER(v4l2_plane, m.mem_offset), MEMBER(v4l2_plane, m.userptr), MEMBER(v4l2_plane, m.fd),
    MEMBER(v4l2_plane, data_offset), MEMBER(v4l2_plane, reserved),
    MEMBER(v4l2_ext_controls, which), MEMBER(v4l2_ext_controls, count), MEMBER(v4l2_ext_controls, error_idx),
    MEMBER(v4l2_ext_controls, request_fd), MEMBER(v4l2_ext_controls, reserved),
    MEMBER(v4l2_ext_controls, controls),
    MEMBER(v4l2_ext_control, id), MEMBER(v4l2_ext_control, size), MEMBER(v4l2_ext_control, reserved2),
    MEMBER(v4l2_ext_control, value), MEMBER(v4l2_ext_control, value64), MEMBER(v4l2_ext_control, ptr),
    MEMBER(v4l2_event, type), MEMBER(v4l2_event, u), MEMBER(v4l2_event, pending),
    MEMBER(v4l2_event, sequence), MEMBER(v4l2_event, timestamp), MEMBER(v4l2_event, timestamp.tv_sec),
    MEMBER(v4l2_event, timestamp.tv_nsec), MEMBER(v4l2_event, id), MEMBER(v4l2_event, reserved),
    MEMBER(v4l2_event_vsync, field),
    MEMBER(v4l2_event_ctrl, changes), MEMBER(v4l2_event_ctrl, type), MEMBER(v4l2_event_ctrl, value),
    MEMBER(v4l2_event_ctrl, value64), MEMBER(v4l2_event_ctrl, flags), MEMBER(v4l2_event_ctrl, minimum),
    MEMBER(v4l2_event_ctrl, maximum), MEMBER(v4l2_event_ctrl, step), MEMBER(v4l2_event_ctrl, default_value),
    MEMBER(v4l2_event_frame_sync, frame_sequence),
    MEMBER(v4l2_event_src_change, changes),
    MEMBER(v4l2_event_subscription, type), MEMBER(v4l2_event_subscription, id),
    MEMBER(v4l2_event_subscription, flags), MEMBER(v4l2_event_subscription, reserved),
    MEMBER(v4l2_exportbuffer, type), MEMBER(v4l2_exportbuffer, index), MEMBER(v4l2_exportbuffer, plane),
    MEMBER(v4l2_exportbuffer, flags), MEMBER(v4l2_exportbuffer, fd), MEMBER(v4l2_exportbuffer, reserved),
    MEMBER(v4l2_remove_buffers, index), MEMBER(v4l2_remove_buffers, count), MEMBER(v4l2_remove_buffers, type),
    MEMBER(v4l2_remove_buffers, reserved),
    MEMBER(v4l2_requestbuffers, count), MEMBER(v4l2_requestbuffers, type),
    MEMBER(v4l2_requestbuffers, memory), MEMBER(v4l2_requestbuffers, capabilities),
    MEMBER(v4l2_requestbuffers, flags), MEMBER(v4l2_requestbuffers, reserved),
    MEMBER(v4l2_edid, pad), MEMBER(v4l2_edid, start_block), MEMBER(v4l2_edid, blocks),
    MEMBER(v4l2_edid, reserved), MEMBER(v4l2_edid, edid),
    MEMBER(v4l2_format, type), MEMBER(v4l2_format, fmt), MEMBER(v4l2_format, fmt.pix.width),
    MEMBER(v4l2_format, fmt.pix.height), MEMBER(v4l2_format, fmt.pix.pixelformat),
    MEMBER(v4l2_format, fmt.pix.field), MEMBER(v4l2_format, fmt.pix.bytesperline),
    MEMBER(v4l2_format, fmt.pix.sizeimage), MEMBER(v4l2_format, fmt.pix.colorspace),
    MEMBER(v4l2_format, fmt.pix.priv), MEMBER(v4l2_format, fmt.pix.flags),
    MEMBER(v4l2_format, fmt.pix.ycbcr_enc), MEMBER(v4l2_format, fmt.pix.hsv_enc),
    MEMBER(v4l2_format, fmt.pix.quantization), MEMBER(v4l2_format, fmt.pix.xfer_func),
    MEMBER(v4l2_format, fmt.pix_mp.width), MEMBER(v4l2_format, fmt.pix_mp.height),
    MEMBER(v4l2_format, fmt.pix_mp.pixelformat), MEMBER(v4l2_format, fmt.pix_mp.field),
    MEMBER(v4l2_format, fmt.pix_mp.colorspace), MEMBER(v4l2_format, fmt.pix_mp.plane_fmt),
    MEMBER(v4l2_format, fmt.pix_mp.num_planes), MEMBER(v4l2_format, fmt.pix_mp.flags),
    MEMBER(v4l2_format, fmt.pix_mp.ycbcr_enc), MEMBER(v4l2_format, fmt.pix_mp.quantization),
    MEMBER(v4l2_format, fmt.pix_mp.xfer_func), MEMBER(v4l2_format, fmt.win.w),
    MEMBER(v4l2_format, fmt.win.field), MEMBER(v4l2_format, fmt.win.chromakey),
    MEMBER(v4l2_format, fmt.win.clips), MEMBER(v4l2_format, fmt.win.clipcount),
    MEMBER(v4l2_format, fmt.win.bitmap), MEMBER(v4l2_format, fmt.win.global_alpha),
    MEMBER(v4l2_pix_format, width), MEMBER(v4l2_pix_format, height), MEMBER(v4l2_pix_format, pixelformat),
    MEMBER(v4l2_pix_format, field), MEMBER(v4l2_pix_format, bytesperline), MEMBER(v4l2_pix_format, sizeimage),
    MEMBER(v4l2_pix_format, colorspace), MEMBER(v4l2_pix_format, priv), MEMBER(v4l2_pix_format, flags),
    MEMBER(v4l2_pix_format, ycbcr_enc), MEMBER(v4l2_pix_format, quantization),
    MEMBER(v4l2_pix_format, xfer_func),
    MEMBER(v4l2_pix_format_mplane, width), MEMBER(v4l2_pix_format_mplane, height),
    MEMBER(v4l2_pix_format_mplane, pixelformat), MEMBER(v4l2_pix_format_mplane, field),
    MEMBER(v4l2_pix_format_mplane, colorspace), MEMBER(v4l2_pix_format_mplane, plane_fmt),
    MEMBER(v4l2_pix_format_mplane, num_planes), MEMBER(v4l2_pix_format_mplane, flags),
    MEMBER(v4l2_pix_format_mplane, ycbcr_enc), MEMBER(v4l2_pix_format_mplane, quantization),
    MEMBER(v4l2_pix_format_mplane, xfer_func), MEMBER(v4l2_pix_format_mplane, reserved),
    MEMBER(v4l2_plane_pix_format, sizeimage), MEMBER(v4l2_plane_pix_format, bytesperline),
    MEMBER(v4l2_plane_pix_format, reserved),
    MEMBER(v4l2_window, w), MEMBER(v4l2_window, field), MEMBER(v4l2_window, chromakey),
    MEMBER(v4l2_window, clips), MEMBER(v4l2_window, clipcount), MEMBER(v4l2_window, bitmap),
    MEMBER(v4l2_window, global_alpha),
    MEMBER(v4l2_framebuffer, base),
    MEMBER(v4l2_fmtdesc, index), MEMBER(v4l2_fmtdesc, type), MEMBER(v4l2_fmtdesc, flags),
    MEMBER(v4l2_fmtdesc, description), MEMBER(v4l2_fmtdesc, pixelformat), MEMBER(v4l2_fmtdesc, mbus_code),
    MEMBER(v4l2_fmtdesc, reserved),
    MEMBER(v4l2_streamparm, type), MEMBER(v4l2_streamparm, parm),
    MEMBER(v4l2_streamparm, parm.capture.capability), MEMBER(v4l2_streamparm, parm.capture.capturemode),
    MEMBER(v4l2_streamparm, parm.capture.timeperframe),
    MEMBER(v4l2_streamparm, parm.capture.timeperframe.denominator),
    MEMBER(v4l2_streamparm, parm.capture.extendedmode), MEMBER(v4l2_streamparm, parm.capture.readbuffers),
    MEMBER(v4l2_tuner, capability), MEMBER(v4l2_modulator, capability), MEMBER(v4l2_frequency_band, capability),
    MEMBER(v4l2_streamparm, parm.output.timeperframe), MEMBER(v4l2_streamparm, parm.output.writebuffers),
    MEMBER(v4l2_query_ext_ctrl, id), MEMBER(v4l2_query_ext_ctrl, type), MEMBER(v4l2_query_ext_ctrl, name),
    MEMBER(v4l2_query_ext_ctrl, minimum), MEMBER(v4l2_query_ext_ctrl, maximum),
    MEMBER(v4l2_query_ext_ctrl, step), MEMBER(v4l2_query_ext_ctrl, default_value),
    MEMBER(v4l2_query_ext_ctrl, flags), MEMBER(v4l2_query_ext_ctrl, elem_size),
    MEMBER(v4l2_query_ext_ctrl, elems), MEMBER(v4l2_query_ext_ctrl, nr_of_dims),
    MEMBER(v4l2_query_ext_ctrl, dims), MEMBER(v4l2_query_ext_ctrl, reserved),
    MEMBER(v4l2_queryctrl, id), MEMBER(v4l2_queryctrl, type), MEMBER(v4l2_queryctrl, name),
    MEMBER(v4l2_queryctrl, minimum), MEMBER(v4l2_queryctrl, maximum), MEMBER(v4l2_queryctrl, step),
    MEMBER(v4l2_queryctrl, default_value), MEMBER(v4l2_queryctrl, flags), MEMBER(v4l2_queryctrl, reserved),
    MEMBER(v4l2_querymenu, id), MEMBER(v4l2_querymenu, index), MEMBER(v4l2_querymenu, name),
    MEMBER(v4l2_querymenu, value), MEMBER(v4l2_querymenu, reserved),
    MEMBER(v4l2_control, id), MEMBER(v4l2_control, value),
    MEMBER(v4l2_rect, left), MEMBER(v4l2_rect, top), MEMBER(v4l2_rect, width), MEMBER(v4l2_rect, height),
    MEMBER(v4l2_selection, type), MEMBER(v4l2_selection, target), MEMBER(v4l2_selection, flags),
    MEMBER(v4l2_selection, r), MEMBER(v4l2_selection, reserved),
    MEMBER(v4l2_frmsizeenum, index), MEMBER(v4l2_frmsizeenum, pixel_format), MEMBER(v4l2_frmsizeenum, type),
    MEMBER(v4l2_frmsizeenum, discrete.width), MEMBER(v4l2_frmsizeenum, discrete.height),
    MEMBER(v4l2_frmsizeenum, stepwise.min_width), MEMBER(v4l2_frmsizeenum, stepwise.max_width),
    MEMBER(v4l2_frmsizeenum, stepwise.step_width), MEMBER(v4l2_frmsizeenum, stepwise.min_height),
    MEMBER(v4l2_frmsizeenum, stepwise.max_height), MEMBER(v4l2_frmsizeenum, stepwise.step_height),
    MEMBER(v4l2_frmsizeenum, reserved),
    MEMBER(v4l2_frmivalenum, index), MEMBER(v4l2_frmivalenum, pixel_format), MEMBER(v4l2_frmivalenum, width),
    MEMBER(v4l2_frmivalenum, height), MEMBER(v4l2_frmivalenum, type), MEMBER(v4l2_frmivalenum, discrete),
    MEMBER(v4l2_frmivalenum, stepwise.min), MEMBER(v4l2_frmivalenum, stepwise.max),
    MEMBER(v4l2_frmivalenum, stepwise.step), MEMBER(v4l2_frmivalenum, reserved),
    MEMBER(v4l2_encoder_cmd, cmd), MEMBER(v4l2_encoder_cmd, flags), MEMBER(v4l2_encoder_cmd, raw),
    MEMBER(v4l2_decoder_cmd, cmd), MEMBER(v4l2_decoder_cmd, flags), MEMBER(v4l2_decoder_cmd, raw),
    MEMBER_AS(v4l2_create_buffers, CreateBuffers, index),
    MEMBER_AS(v4l2_create_buffers, CreateBuffers, count),
    MEMBER_AS(v4l2_create_buffers, CreateBuffers, memory),
    MEMBER_AS(v4l2_create_buffers, CreateBuffers, format),
    MEMBER_AS(v4l2_create_buffers, CreateBuffers, format.type),
    MEMBER_AS(v4l2_create_buffers, CreateBuffers, format.fmt),
    MEMBER_AS(v4l2_create_buffers, CreateBuffers, capabilities),
    MEMBER_AS(v4l2_create_buffers, CreateBuffers, flags),
    MEMBER_AS(v4l2_create_buffers, CreateBuffers, max_num_buffers),
    MEMBER_AS(v4l2_create_buffers, CreateBuffers, reserved),
};

constexpr Request kRequests[] = {
    REQUEST(VIDIOC_QUERYCAP), REQUEST(VIDIOC_ENUM_FMT), REQUEST(VIDIOC_G_FMT), REQUEST(VIDIOC_S_FMT),
    REQUEST(VIDIOC_REQBUFS), REQUEST(VIDIOC_QUERYBUF), REQUEST(VIDIOC_G_FBUF), REQUEST(VIDIOC_S_FBUF),
    REQUEST(VIDIOC_OVERLAY), REQUEST(VIDIOC_QBUF), REQUEST(VIDIOC_EXPBUF), REQUEST(VIDIOC_DQBUF),
    REQUEST(VIDIOC_STREAMON), REQUEST(VIDIOC_STREAMOFF), REQUEST(VIDIOC_G_PARM), REQUEST(VIDIOC_S_PARM),
    REQUEST(VIDIOC_G_STD), REQUEST(VIDIOC_S_STD), REQUEST(VIDIOC_ENUMSTD), REQUEST(VIDIOC_ENUMINPUT),
    REQUEST(VIDIOC_G_CTRL), REQUEST(VIDIOC_S_CTRL), REQUEST(VIDIOC_G_TUNER), REQUEST(VIDIOC_S_TUNER),
    REQUEST(VIDIOC_G_AUDIO), REQUEST(VIDIOC_S_AUDIO), REQUEST(VIDIOC_QUERYCTRL), REQUEST(VIDIOC_QUERYMENU),
    REQUEST(VIDIOC_G_INPUT), REQUEST(VIDIOC_S_INPUT), REQUEST(VIDIOC_G_EDID), REQUEST(VIDIOC_S_EDID),
    REQUEST(VIDIOC_G_OUTPUT), REQUEST(VIDIOC_S_OUTPUT), REQUEST(VIDIOC_ENUMOUTPUT), REQUEST(VIDIOC_G_AUDOUT),
    REQUEST(VIDIOC_S_AUDOUT), REQUEST(VIDIOC_G_MODULATOR), REQUEST(VIDIOC_S_MODULATOR),
    REQUEST(VIDIOC_G_FREQUENCY), REQUEST(VIDIOC_S_FREQUENCY), REQUEST(VIDIOC_CROPCAP), REQUEST(VIDIOC_G_CROP),
    REQUEST(VIDIOC_S_CROP), REQUEST(VIDIOC_G_JPEGCOMP), REQUEST(VIDIOC_S_JPEGCOMP), REQUEST(VIDIOC_QUERYSTD),
    REQUEST(VIDIOC_TRY_FMT), REQUEST(VIDIOC_ENUMAUDIO), REQUEST(VIDIOC_ENUMAUDOUT),
    REQUEST(VIDIOC_G_PRIORITY), REQUEST(VIDIOC_S_PRIORITY), REQUEST(VIDIOC_G_SLICED_VBI_CAP),
    REQUEST(VIDIOC_LOG_STATUS), REQUEST(VIDIOC_G_EXT_CTRLS), REQUEST(VIDIOC_S_EXT_CTRLS),
    REQUEST(VIDIOC_TRY_EXT_CTRLS), REQUEST(VIDIOC_ENUM_FRAMESIZES), REQUEST(VIDIOC_ENUM_FRAMEINTERVALS),
    REQUEST(VIDIOC_G_ENC_INDEX), REQUEST(VIDIOC_ENCODER_CMD), REQUEST(VIDIOC_TRY_ENCODER_CMD),
    REQUEST(VIDIOC_DBG_S_REGISTER), REQUEST(VIDIOC_DBG_G_REGISTER), REQUEST(VIDIOC_S_HW_FREQ_SEEK),
    REQUEST(VIDIOC_S_DV_TIMINGS), REQUEST(VIDIOC_G_DV_TIMINGS), REQUEST(VIDIOC_DQEVENT),
    REQUEST(VIDIOC_SUBSCRIBE_EVENT), REQUEST(VIDIOC_UNSUBSCRIBE_EVENT), REQUEST(VIDIOC_CREATE_BUFS),
    REQUEST(VIDIOC_PREPARE_BUF), REQUEST(VIDIOC_G_SELECTION), REQUEST(VIDIOC_S_SELECTION),
    REQUEST(VIDIOC_DECODER_CMD), REQUEST(VIDIOC_TRY_DECODER_CMD), REQUEST(VIDIOC_ENUM_DV_TIMINGS),
    REQUEST(VIDIOC_QUERY_DV_TIMINGS), REQUEST(VIDIOC_DV_TIMINGS_CAP), REQUEST(VIDIOC_ENUM_FREQ_BANDS),
    REQUEST(VIDIOC_DBG_G_CHIP_INFO), REQUEST(VIDIOC_QUERY_EXT_CTRL), REQUEST(VIDIOC_REMOVE_BUFS),
    REQUEST(MEDIA_IOC_REQUEST_ALLOC), REQUEST(MEDIA_REQUEST_IOC_QUEUE), REQUEST(MEDIA_REQUEST_IOC_REINIT),
};
// clang-format on

void Put(Napi::Object layout, const char* what, const std::string& name, size_t value) {
  layout.Set(std::string(what) + " " + name, Napi::Number::New(layout.Env(), static_cast<double>(value)));
}

Napi::Value Layout(const Napi::CallbackInfo& info) {
  const Napi::Object layout = Napi::Object::New(info.Env());
  for (const Record& record : kRecords) Put(layout, "sizeof", record.name, record.size);
  for (const Member& member : kMembers) {
    Put(layout, "offsetof", member.name, member.offset);
    Put(layout, "sizeof", member.name, member.size);
  }
  for (const Request& request : kRequests) {
    Put(layout, "nr", request.name, _IOC_NR(request.code));
    Put(layout, "size", request.name, _IOC_SIZE(request.code));
    Put(layout, "dir", request.name, _IOC_DIR(request.code));
  }
  return layout;
}

}  // namespace

void ExportLayout(Napi::Env env, Napi::Object exports) {
  exports.Set("layout", Napi::Function::New<Layout>(env, "layout"));
}

}  // namespace vmb
