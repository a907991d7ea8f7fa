/**
 * Every VIDIOC that may pass from a guest to the host node. A missing row answers ENOTTY: that is
 * how QUERYCAP, DQBUF, DQEVENT, LOG_STATUS, the JPEG pair, DBG_*, FBUF, OVERLAY, priorities and
 * private numbers are refused (VIRTIO 1.4, Media Device, "Unsupported ioctls").
 * test/addon/layout.test.ts holds number, direction and size to the compiler.
 */

/** Direction of the _IO* macro, from the guest's side: r(ead by it), w(ritten by it), both. */
export type Direction = 'r' | 'w' | 'wr';

/** What the payload embeds, and so which function of media/ioctl.ts takes it across. */
export type Payload =
  | 'plain'
  | 'formats'
  | 'format'
  | 'frames'
  | 'parm'
  | 'tuner'
  | 'allocate'
  | 'create'
  | 'remove'
  | 'buffer'
  | 'export'
  | 'stream'
  | 'codec'
  | 'query'
  | 'menu'
  | 'control'
  | 'controls'
  | 'edid'
  | 'timings'
  | 'subscription'
  | 'request';

/** `fast`: may run on the loop while the node is quiet. `slow`: may wait for hardware, always on the lane. */
export type Speed = 'fast' | 'slow';

export interface IoctlRow {
  readonly nr: number;
  readonly name: string;
  readonly direction: Direction;
  readonly size: number;
  readonly payload: Payload;
  readonly speed: Speed;
}

type Row = readonly [
  nr: number,
  name: string,
  direction: Direction,
  size: number,
  payload: Payload,
  speed: Speed,
];

//  nr  name                  dir   bytes  payload         speed
const rows: readonly Row[] = [
  [2, 'ENUM_FMT', 'wr', 64, 'formats', 'fast'],
  [4, 'G_FMT', 'wr', 208, 'format', 'slow'],
  [5, 'S_FMT', 'wr', 208, 'format', 'slow'],
  [8, 'REQBUFS', 'wr', 20, 'allocate', 'slow'],
  [9, 'QUERYBUF', 'wr', 88, 'buffer', 'fast'],
  [15, 'QBUF', 'wr', 88, 'buffer', 'fast'],
  [16, 'EXPBUF', 'wr', 64, 'export', 'slow'],
  [18, 'STREAMON', 'w', 4, 'stream', 'slow'],
  [19, 'STREAMOFF', 'w', 4, 'stream', 'slow'],
  [21, 'G_PARM', 'wr', 204, 'parm', 'slow'],
  [22, 'S_PARM', 'wr', 204, 'parm', 'slow'],
  [23, 'G_STD', 'r', 8, 'plain', 'slow'],
  [24, 'S_STD', 'w', 8, 'plain', 'slow'],
  [25, 'ENUMSTD', 'wr', 72, 'plain', 'fast'],
  [26, 'ENUMINPUT', 'wr', 80, 'plain', 'slow'],
  [27, 'G_CTRL', 'wr', 8, 'control', 'slow'],
  [28, 'S_CTRL', 'wr', 8, 'control', 'slow'],
  [29, 'G_TUNER', 'wr', 84, 'tuner', 'slow'],
  [30, 'S_TUNER', 'w', 84, 'plain', 'slow'],
  [33, 'G_AUDIO', 'r', 52, 'plain', 'slow'],
  [34, 'S_AUDIO', 'w', 52, 'plain', 'slow'],
  [36, 'QUERYCTRL', 'wr', 68, 'query', 'slow'],
  [37, 'QUERYMENU', 'wr', 44, 'menu', 'slow'],
  [38, 'G_INPUT', 'r', 4, 'plain', 'slow'],
  [39, 'S_INPUT', 'wr', 4, 'plain', 'slow'],
  [40, 'G_EDID', 'wr', 40, 'edid', 'slow'],
  [41, 'S_EDID', 'wr', 40, 'edid', 'slow'],
  [46, 'G_OUTPUT', 'r', 4, 'plain', 'slow'],
  [47, 'S_OUTPUT', 'wr', 4, 'plain', 'slow'],
  [48, 'ENUMOUTPUT', 'wr', 72, 'plain', 'slow'],
  [49, 'G_AUDOUT', 'r', 52, 'plain', 'slow'],
  [50, 'S_AUDOUT', 'w', 52, 'plain', 'slow'],
  [54, 'G_MODULATOR', 'wr', 68, 'tuner', 'slow'],
  [55, 'S_MODULATOR', 'w', 68, 'plain', 'slow'],
  [56, 'G_FREQUENCY', 'wr', 44, 'plain', 'slow'],
  [57, 'S_FREQUENCY', 'w', 44, 'plain', 'slow'],
  [58, 'CROPCAP', 'wr', 44, 'plain', 'slow'],
  [59, 'G_CROP', 'wr', 20, 'plain', 'slow'],
  [60, 'S_CROP', 'w', 20, 'plain', 'slow'],
  [63, 'QUERYSTD', 'r', 8, 'plain', 'slow'],
  [64, 'TRY_FMT', 'wr', 208, 'format', 'slow'],
  [65, 'ENUMAUDIO', 'wr', 52, 'plain', 'slow'],
  [66, 'ENUMAUDOUT', 'wr', 52, 'plain', 'slow'],
  [69, 'G_SLICED_VBI_CAP', 'wr', 116, 'plain', 'slow'],
  [71, 'G_EXT_CTRLS', 'wr', 32, 'controls', 'slow'],
  [72, 'S_EXT_CTRLS', 'wr', 32, 'controls', 'slow'],
  [73, 'TRY_EXT_CTRLS', 'wr', 32, 'controls', 'slow'],
  [74, 'ENUM_FRAMESIZES', 'wr', 44, 'frames', 'fast'],
  [75, 'ENUM_FRAMEINTERVALS', 'wr', 52, 'frames', 'fast'],
  [76, 'G_ENC_INDEX', 'r', 2072, 'plain', 'slow'],
  [77, 'ENCODER_CMD', 'wr', 40, 'codec', 'slow'],
  [78, 'TRY_ENCODER_CMD', 'wr', 40, 'plain', 'slow'],
  [82, 'S_HW_FREQ_SEEK', 'w', 48, 'plain', 'slow'],
  [87, 'S_DV_TIMINGS', 'wr', 132, 'plain', 'slow'],
  [88, 'G_DV_TIMINGS', 'wr', 132, 'plain', 'slow'],
  [90, 'SUBSCRIBE_EVENT', 'w', 32, 'subscription', 'slow'],
  [91, 'UNSUBSCRIBE_EVENT', 'w', 32, 'subscription', 'slow'],
  [92, 'CREATE_BUFS', 'wr', 256, 'create', 'slow'],
  [93, 'PREPARE_BUF', 'wr', 88, 'buffer', 'slow'],
  [94, 'G_SELECTION', 'wr', 64, 'plain', 'slow'],
  [95, 'S_SELECTION', 'wr', 64, 'plain', 'slow'],
  [96, 'DECODER_CMD', 'wr', 72, 'codec', 'slow'],
  [97, 'TRY_DECODER_CMD', 'wr', 72, 'plain', 'slow'],
  [98, 'ENUM_DV_TIMINGS', 'wr', 148, 'plain', 'slow'],
  [99, 'QUERY_DV_TIMINGS', 'r', 132, 'timings', 'slow'],
  [100, 'DV_TIMINGS_CAP', 'wr', 144, 'plain', 'slow'],
  [101, 'ENUM_FREQ_BANDS', 'wr', 64, 'tuner', 'slow'],
  [103, 'QUERY_EXT_CTRL', 'wr', 232, 'query', 'slow'],
  [104, 'REMOVE_BUFS', 'wr', 64, 'remove', 'slow'],
];

/** The rows by ioctl number. */
export const ioctls: ReadonlyMap<number, IoctlRow> = new Map(
  rows.map(([nr, name, direction, size, payload, speed]) => [
    nr,
    { nr, name, direction, size, payload, speed },
  ]),
);

/** Numbers of the ioctls that the host node layer issues itself. */
export const Ioctl = {
  QUERYCAP: 0,
  ENUM_FMT: 2,
  G_FMT: 4,
  S_FMT: 5,
  REQBUFS: 8,
  QUERYBUF: 9,
  QBUF: 15,
  EXPBUF: 16,
  STREAMON: 18,
  STREAMOFF: 19,
  G_PARM: 21,
  S_PARM: 22,
  G_CTRL: 27,
  S_CTRL: 28,
  G_TUNER: 29,
  QUERYCTRL: 36,
  QUERYMENU: 37,
  G_EDID: 40,
  S_EDID: 41,
  G_MODULATOR: 54,
  TRY_FMT: 64,
  G_EXT_CTRLS: 71,
  S_EXT_CTRLS: 72,
  TRY_EXT_CTRLS: 73,
  ENUM_FRAMESIZES: 74,
  ENUM_FRAMEINTERVALS: 75,
  ENCODER_CMD: 77,
  SUBSCRIBE_EVENT: 90,
  UNSUBSCRIBE_EVENT: 91,
  CREATE_BUFS: 92,
  PREPARE_BUF: 93,
  DECODER_CMD: 96,
  ENUM_FREQ_BANDS: 101,
  QUERY_EXT_CTRL: 103,
  REMOVE_BUFS: 104,
} as const;
