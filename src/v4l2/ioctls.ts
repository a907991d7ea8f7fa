/**
 * Every VIDIOC that may pass from a guest to the host node. An ioctl without a row answers ENOTTY. In this way
 * QUERYCAP, DQBUF, DQEVENT, LOG_STATUS, the JPEG pair, DBG_*, FBUF, OVERLAY, priorities and private numbers are
 * refused (VIRTIO 1.4, Media Device, "Unsupported ioctls"). test/addon/layout.test.ts compares number, direction and
 * size with the compiler's values.
 */

/** Direction of the _IO* macro. `r`: the guest reads the payload. `w`: the guest writes it. `wr`: both. */
export type Direction = 'r' | 'w' | 'wr';

/** What the payload embeds. It selects the handler in src/media/ioctls/handlers.ts. */
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

/** One ioctl. `nr`: number in the group 'V'. `size`: bytes of its payload. */
export interface IoctlRow {
  readonly nr: number;
  readonly name: string;
  readonly direction: Direction;
  readonly size: number;
  readonly payload: Payload;
}

type Row = readonly [nr: number, name: string, direction: Direction, size: number, payload: Payload];

//  nr  name                  dir   bytes  payload
const rows: readonly Row[] = [
  [2, 'ENUM_FMT', 'wr', 64, 'formats'],
  [4, 'G_FMT', 'wr', 208, 'format'],
  [5, 'S_FMT', 'wr', 208, 'format'],
  [8, 'REQBUFS', 'wr', 20, 'allocate'],
  [9, 'QUERYBUF', 'wr', 88, 'buffer'],
  [15, 'QBUF', 'wr', 88, 'buffer'],
  [16, 'EXPBUF', 'wr', 64, 'export'],
  [18, 'STREAMON', 'w', 4, 'stream'],
  [19, 'STREAMOFF', 'w', 4, 'stream'],
  [21, 'G_PARM', 'wr', 204, 'parm'],
  [22, 'S_PARM', 'wr', 204, 'parm'],
  [23, 'G_STD', 'r', 8, 'plain'],
  [24, 'S_STD', 'w', 8, 'plain'],
  [25, 'ENUMSTD', 'wr', 72, 'plain'],
  [26, 'ENUMINPUT', 'wr', 80, 'plain'],
  [27, 'G_CTRL', 'wr', 8, 'control'],
  [28, 'S_CTRL', 'wr', 8, 'control'],
  [29, 'G_TUNER', 'wr', 84, 'tuner'],
  [30, 'S_TUNER', 'w', 84, 'plain'],
  [33, 'G_AUDIO', 'r', 52, 'plain'],
  [34, 'S_AUDIO', 'w', 52, 'plain'],
  [36, 'QUERYCTRL', 'wr', 68, 'query'],
  [37, 'QUERYMENU', 'wr', 44, 'menu'],
  [38, 'G_INPUT', 'r', 4, 'plain'],
  [39, 'S_INPUT', 'wr', 4, 'plain'],
  [40, 'G_EDID', 'wr', 40, 'edid'],
  [41, 'S_EDID', 'wr', 40, 'edid'],
  [46, 'G_OUTPUT', 'r', 4, 'plain'],
  [47, 'S_OUTPUT', 'wr', 4, 'plain'],
  [48, 'ENUMOUTPUT', 'wr', 72, 'plain'],
  [49, 'G_AUDOUT', 'r', 52, 'plain'],
  [50, 'S_AUDOUT', 'w', 52, 'plain'],
  [54, 'G_MODULATOR', 'wr', 68, 'tuner'],
  [55, 'S_MODULATOR', 'w', 68, 'plain'],
  [56, 'G_FREQUENCY', 'wr', 44, 'plain'],
  [57, 'S_FREQUENCY', 'w', 44, 'plain'],
  [58, 'CROPCAP', 'wr', 44, 'plain'],
  [59, 'G_CROP', 'wr', 20, 'plain'],
  [60, 'S_CROP', 'w', 20, 'plain'],
  [63, 'QUERYSTD', 'r', 8, 'plain'],
  [64, 'TRY_FMT', 'wr', 208, 'format'],
  [65, 'ENUMAUDIO', 'wr', 52, 'plain'],
  [66, 'ENUMAUDOUT', 'wr', 52, 'plain'],
  [69, 'G_SLICED_VBI_CAP', 'wr', 116, 'plain'],
  [71, 'G_EXT_CTRLS', 'wr', 32, 'controls'],
  [72, 'S_EXT_CTRLS', 'wr', 32, 'controls'],
  [73, 'TRY_EXT_CTRLS', 'wr', 32, 'controls'],
  [74, 'ENUM_FRAMESIZES', 'wr', 44, 'frames'],
  [75, 'ENUM_FRAMEINTERVALS', 'wr', 52, 'frames'],
  [76, 'G_ENC_INDEX', 'r', 2072, 'plain'],
  [77, 'ENCODER_CMD', 'wr', 40, 'codec'],
  [78, 'TRY_ENCODER_CMD', 'wr', 40, 'plain'],
  [82, 'S_HW_FREQ_SEEK', 'w', 48, 'plain'],
  [87, 'S_DV_TIMINGS', 'wr', 132, 'plain'],
  [88, 'G_DV_TIMINGS', 'wr', 132, 'plain'],
  [90, 'SUBSCRIBE_EVENT', 'w', 32, 'subscription'],
  [91, 'UNSUBSCRIBE_EVENT', 'w', 32, 'subscription'],
  [92, 'CREATE_BUFS', 'wr', 256, 'create'],
  [93, 'PREPARE_BUF', 'wr', 88, 'buffer'],
  [94, 'G_SELECTION', 'wr', 64, 'plain'],
  [95, 'S_SELECTION', 'wr', 64, 'plain'],
  [96, 'DECODER_CMD', 'wr', 72, 'codec'],
  [97, 'TRY_DECODER_CMD', 'wr', 72, 'plain'],
  [98, 'ENUM_DV_TIMINGS', 'wr', 148, 'plain'],
  [99, 'QUERY_DV_TIMINGS', 'r', 132, 'timings'],
  [100, 'DV_TIMINGS_CAP', 'wr', 144, 'plain'],
  [101, 'ENUM_FREQ_BANDS', 'wr', 64, 'tuner'],
  [103, 'QUERY_EXT_CTRL', 'wr', 232, 'query'],
  [104, 'REMOVE_BUFS', 'wr', 64, 'remove'],
];

/** The rows by ioctl number. */
export const ioctls: ReadonlyMap<number, IoctlRow> = new Map(
  rows.map(([nr, name, direction, size, payload]) => [nr, { nr, name, direction, size, payload }]),
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
