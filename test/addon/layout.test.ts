/**
 * Compares <linux/videodev2.h> and <linux/media.h>, as the compiler reads them, with literals. The wire format of
 * virtio-media consists of these structures.
 */
import assert from 'node:assert/strict';
import { native } from '../../src/native.js';

/** The bytes of a structure, then for each member: [offset, bytes]. */
type Literal = readonly [size: number, members: Record<string, readonly [offset: number, size: number]>];

// biome-ignore format: a table
const structures: Record<string, Literal> = {
  v4l2_buffer: [88, {
    index: [0, 4], type: [4, 4], bytesused: [8, 4], flags: [12, 4], field: [16, 4], timestamp: [24, 16],
    'timestamp.tv_sec': [24, 8], 'timestamp.tv_usec': [32, 8], timecode: [40, 16], sequence: [56, 4], memory: [60, 4],
    m: [64, 8], 'm.offset': [64, 4], 'm.userptr': [64, 8], 'm.planes': [64, 8], 'm.fd': [64, 4], length: [72, 4],
    reserved2: [76, 4], request_fd: [80, 4],
  }],
  v4l2_plane: [64, {
    bytesused: [0, 4], length: [4, 4], m: [8, 8], 'm.mem_offset': [8, 4], 'm.userptr': [8, 8], 'm.fd': [8, 4],
    data_offset: [16, 4], reserved: [20, 44],
  }],
  v4l2_ext_controls: [32, {
    which: [0, 4], count: [4, 4], error_idx: [8, 4], request_fd: [12, 4], reserved: [16, 4], controls: [24, 8],
  }],
  v4l2_ext_control: [20, {
    id: [0, 4], size: [4, 4], reserved2: [8, 4], value: [12, 4], value64: [12, 8], ptr: [12, 8],
  }],
  v4l2_event: [136, {
    type: [0, 4], u: [8, 64], pending: [72, 4], sequence: [76, 4], timestamp: [80, 16], 'timestamp.tv_nsec': [88, 8],
    id: [96, 4], reserved: [100, 32],
  }],
  v4l2_event_ctrl: [40, {
    changes: [0, 4], type: [4, 4], value: [8, 4], value64: [8, 8], flags: [16, 4], minimum: [20, 4], maximum: [24, 4],
    step: [28, 4], default_value: [32, 4],
  }],
  v4l2_event_vsync: [1, { field: [0, 1] }],
  v4l2_event_frame_sync: [4, { frame_sequence: [0, 4] }],
  v4l2_event_src_change: [4, { changes: [0, 4] }],
  v4l2_event_subscription: [32, { type: [0, 4], id: [4, 4], flags: [8, 4], reserved: [12, 20] }],
  v4l2_exportbuffer: [64, {
    type: [0, 4], index: [4, 4], plane: [8, 4], flags: [12, 4], fd: [16, 4], reserved: [20, 44],
  }],
  v4l2_create_buffers: [256, {
    index: [0, 4], count: [4, 4], memory: [8, 4], format: [16, 208], 'format.type': [16, 4], 'format.fmt': [24, 200],
    capabilities: [224, 4], flags: [228, 4], max_num_buffers: [232, 4], reserved: [236, 20],
  }],
  v4l2_remove_buffers: [64, { index: [0, 4], count: [4, 4], type: [8, 4], reserved: [12, 52] }],
  v4l2_requestbuffers: [20, {
    count: [0, 4], type: [4, 4], memory: [8, 4], capabilities: [12, 4], flags: [16, 1], reserved: [17, 3],
  }],
  v4l2_edid: [40, { pad: [0, 4], start_block: [4, 4], blocks: [8, 4], reserved: [12, 20], edid: [32, 8] }],
  v4l2_format: [208, {
    type: [0, 4], fmt: [8, 200],
    'fmt.pix.width': [8, 4], 'fmt.pix.height': [12, 4], 'fmt.pix.pixelformat': [16, 4], 'fmt.pix.field': [20, 4],
    'fmt.pix.bytesperline': [24, 4], 'fmt.pix.sizeimage': [28, 4], 'fmt.pix.colorspace': [32, 4],
    'fmt.pix.priv': [36, 4], 'fmt.pix.flags': [40, 4], 'fmt.pix.ycbcr_enc': [44, 4], 'fmt.pix.hsv_enc': [44, 4],
    'fmt.pix.quantization': [48, 4], 'fmt.pix.xfer_func': [52, 4],
    'fmt.pix_mp.width': [8, 4], 'fmt.pix_mp.height': [12, 4], 'fmt.pix_mp.pixelformat': [16, 4],
    'fmt.pix_mp.field': [20, 4], 'fmt.pix_mp.colorspace': [24, 4], 'fmt.pix_mp.plane_fmt': [28, 160],
    'fmt.pix_mp.num_planes': [188, 1], 'fmt.pix_mp.flags': [189, 1], 'fmt.pix_mp.ycbcr_enc': [190, 1],
    'fmt.pix_mp.quantization': [191, 1], 'fmt.pix_mp.xfer_func': [192, 1],
    'fmt.win.w': [8, 16], 'fmt.win.field': [24, 4], 'fmt.win.chromakey': [28, 4], 'fmt.win.clips': [32, 8],
    'fmt.win.clipcount': [40, 4], 'fmt.win.bitmap': [48, 8], 'fmt.win.global_alpha': [56, 1],
  }],
  v4l2_plane_pix_format: [20, { sizeimage: [0, 4], bytesperline: [4, 4], reserved: [8, 12] }],
  v4l2_framebuffer: [48, { base: [8, 8] }],
  v4l2_streamparm: [204, {
    type: [0, 4], parm: [4, 200], 'parm.capture.capability': [4, 4], 'parm.capture.capturemode': [8, 4],
    'parm.capture.timeperframe': [12, 8], 'parm.capture.extendedmode': [20, 4], 'parm.capture.readbuffers': [24, 4],
    'parm.output.timeperframe': [12, 8], 'parm.output.writebuffers': [24, 4],
  }],
};

// biome-ignore format: a table
const sizes: Record<string, number> = {
  v4l2_capability: 104, v4l2_fmtdesc: 64, v4l2_query_ext_ctrl: 232, v4l2_queryctrl: 68, v4l2_querymenu: 44,
  v4l2_control: 8, v4l2_rect: 16, v4l2_selection: 64, v4l2_dv_timings: 132, v4l2_enum_dv_timings: 148,
  v4l2_dv_timings_cap: 144, v4l2_enc_idx: 2072, v4l2_input: 80, v4l2_output: 72, v4l2_standard: 72, v4l2_tuner: 84, v4l2_modulator: 68,
  v4l2_frequency: 44, v4l2_frequency_band: 64, v4l2_hw_freq_seek: 48, v4l2_sliced_vbi_cap: 116, v4l2_audio: 52,
  v4l2_audioout: 52, v4l2_cropcap: 44, v4l2_crop: 20, v4l2_jpegcompression: 140, v4l2_encoder_cmd: 40,
  v4l2_decoder_cmd: 72, v4l2_dbg_register: 56, v4l2_dbg_chip_info: 200, v4l2_frmsizeenum: 44, v4l2_frmivalenum: 52,
  v4l2_pix_format: 48, v4l2_pix_format_mplane: 192, v4l2_window: 56, v4l2_clip: 24, v4l2_timecode: 16,
};

const W = 1;
const R = 2;
const WR = 3;
// biome-ignore format: a table
const ioctls: Record<string, readonly [nr: number, dir: number, size: number]> = {
  QUERYCAP: [0, R, 104], ENUM_FMT: [2, WR, 64], G_FMT: [4, WR, 208], S_FMT: [5, WR, 208], REQBUFS: [8, WR, 20],
  QUERYBUF: [9, WR, 88], G_FBUF: [10, R, 48], S_FBUF: [11, W, 48], OVERLAY: [14, W, 4], QBUF: [15, WR, 88],
  EXPBUF: [16, WR, 64], DQBUF: [17, WR, 88], STREAMON: [18, W, 4], STREAMOFF: [19, W, 4], G_PARM: [21, WR, 204],
  S_PARM: [22, WR, 204], G_STD: [23, R, 8], S_STD: [24, W, 8], ENUMSTD: [25, WR, 72], ENUMINPUT: [26, WR, 80],
  G_CTRL: [27, WR, 8], S_CTRL: [28, WR, 8], G_TUNER: [29, WR, 84], S_TUNER: [30, W, 84], G_AUDIO: [33, R, 52],
  S_AUDIO: [34, W, 52], QUERYCTRL: [36, WR, 68], QUERYMENU: [37, WR, 44], G_INPUT: [38, R, 4], S_INPUT: [39, WR, 4],
  G_EDID: [40, WR, 40], S_EDID: [41, WR, 40], G_OUTPUT: [46, R, 4], S_OUTPUT: [47, WR, 4], ENUMOUTPUT: [48, WR, 72],
  G_AUDOUT: [49, R, 52], S_AUDOUT: [50, W, 52], G_MODULATOR: [54, WR, 68], S_MODULATOR: [55, W, 68],
  G_FREQUENCY: [56, WR, 44], S_FREQUENCY: [57, W, 44], CROPCAP: [58, WR, 44], G_CROP: [59, WR, 20], S_CROP: [60, W, 20],
  G_JPEGCOMP: [61, R, 140], S_JPEGCOMP: [62, W, 140], QUERYSTD: [63, R, 8], TRY_FMT: [64, WR, 208],
  ENUMAUDIO: [65, WR, 52], ENUMAUDOUT: [66, WR, 52], G_PRIORITY: [67, R, 4], S_PRIORITY: [68, W, 4],
  G_SLICED_VBI_CAP: [69, WR, 116], LOG_STATUS: [70, 0, 0], G_EXT_CTRLS: [71, WR, 32], S_EXT_CTRLS: [72, WR, 32],
  TRY_EXT_CTRLS: [73, WR, 32], ENUM_FRAMESIZES: [74, WR, 44], ENUM_FRAMEINTERVALS: [75, WR, 52],
  G_ENC_INDEX: [76, R, 2072], ENCODER_CMD: [77, WR, 40], TRY_ENCODER_CMD: [78, WR, 40], DBG_S_REGISTER: [79, W, 56],
  DBG_G_REGISTER: [80, WR, 56], S_HW_FREQ_SEEK: [82, W, 48], S_DV_TIMINGS: [87, WR, 132], G_DV_TIMINGS: [88, WR, 132],
  DQEVENT: [89, R, 136], SUBSCRIBE_EVENT: [90, W, 32], UNSUBSCRIBE_EVENT: [91, W, 32], CREATE_BUFS: [92, WR, 256],
  PREPARE_BUF: [93, WR, 88], G_SELECTION: [94, WR, 64], S_SELECTION: [95, WR, 64], DECODER_CMD: [96, WR, 72],
  TRY_DECODER_CMD: [97, WR, 72], ENUM_DV_TIMINGS: [98, WR, 148], QUERY_DV_TIMINGS: [99, R, 132],
  DV_TIMINGS_CAP: [100, WR, 144], ENUM_FREQ_BANDS: [101, WR, 64], DBG_G_CHIP_INFO: [102, WR, 200],
  QUERY_EXT_CTRL: [103, WR, 232], REMOVE_BUFS: [104, WR, 64],
};

// biome-ignore format: a table
const mediaIoctls: Record<string, readonly [nr: number, dir: number, size: number]> = {
  MEDIA_IOC_REQUEST_ALLOC: [5, R, 4], MEDIA_REQUEST_IOC_QUEUE: [128, 0, 0], MEDIA_REQUEST_IOC_REINIT: [129, 0, 0],
};

describe('addon: layout', () => {
  const layout = native.layout();

  for (const [name, [size, members]] of Object.entries(structures)) {
    it(name, () => {
      assert.equal(layout[`sizeof ${name}`], size);
      for (const [member, [offset, bytes]] of Object.entries(members)) {
        assert.equal(layout[`offsetof ${name}.${member}`], offset, member);
        assert.equal(layout[`sizeof ${name}.${member}`], bytes, member);
      }
    });
  }

  it('sizes', () => {
    for (const [name, size] of Object.entries(sizes)) assert.equal(layout[`sizeof ${name}`], size, name);
  });

  it('ioctls', () => {
    const video = Object.entries(ioctls).map(([name, row]) => [`VIDIOC_${name}`, row] as const);
    for (const [key, [nr, dir, size]] of [...video, ...Object.entries(mediaIoctls)]) {
      assert.deepEqual(
        [layout[`nr ${key}`], layout[`dir ${key}`], layout[`size ${key}`]],
        [nr, dir, size],
        key,
      );
    }
    const known = Object.keys(layout).filter((key) => key.startsWith('nr '));
    assert.equal(known.length, video.length + Object.keys(mediaIoctls).length);
  });
});
