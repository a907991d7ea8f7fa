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
  | 'format'
  | 'parm'
  | 'allocate'
  | 'create'
  | 'buffer'
  | 'stream'
  | 'controls'
  | 'subscription';

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
  [2, 'ENUM_FMT', 'wr', 64, 'plain', 'fast'],
  [4, 'G_FMT', 'wr', 208, 'format', 'slow'],
  [5, 'S_FMT', 'wr', 208, 'format', 'slow'],
  [8, 'REQBUFS', 'wr', 20, 'allocate', 'slow'],
  [9, 'QUERYBUF', 'wr', 88, 'buffer', 'fast'],
  [15, 'QBUF', 'wr', 88, 'buffer', 'fast'],
  [18, 'STREAMON', 'w', 4, 'stream', 'slow'],
  [19, 'STREAMOFF', 'w', 4, 'stream', 'slow'],
  [21, 'G_PARM', 'wr', 204, 'parm', 'slow'],
  [22, 'S_PARM', 'wr', 204, 'parm', 'slow'],
  [26, 'ENUMINPUT', 'wr', 80, 'plain', 'slow'],
  [27, 'G_CTRL', 'wr', 8, 'plain', 'slow'],
  [28, 'S_CTRL', 'wr', 8, 'plain', 'slow'],
  [36, 'QUERYCTRL', 'wr', 68, 'plain', 'slow'],
  [37, 'QUERYMENU', 'wr', 44, 'plain', 'slow'],
  [38, 'G_INPUT', 'r', 4, 'plain', 'slow'],
  [39, 'S_INPUT', 'wr', 4, 'plain', 'slow'],
  [64, 'TRY_FMT', 'wr', 208, 'format', 'slow'],
  [71, 'G_EXT_CTRLS', 'wr', 32, 'controls', 'slow'],
  [72, 'S_EXT_CTRLS', 'wr', 32, 'controls', 'slow'],
  [73, 'TRY_EXT_CTRLS', 'wr', 32, 'controls', 'slow'],
  [74, 'ENUM_FRAMESIZES', 'wr', 44, 'plain', 'fast'],
  [75, 'ENUM_FRAMEINTERVALS', 'wr', 52, 'plain', 'fast'],
  [90, 'SUBSCRIBE_EVENT', 'w', 32, 'subscription', 'slow'],
  [91, 'UNSUBSCRIBE_EVENT', 'w', 32, 'subscription', 'slow'],
  [92, 'CREATE_BUFS', 'wr', 256, 'create', 'slow'],
  [93, 'PREPARE_BUF', 'wr', 88, 'buffer', 'slow'],
  [94, 'G_SELECTION', 'wr', 64, 'plain', 'slow'],
  [95, 'S_SELECTION', 'wr', 64, 'plain', 'slow'],
  [103, 'QUERY_EXT_CTRL', 'wr', 232, 'plain', 'slow'],
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
  QUERYMENU: 37,
  TRY_FMT: 64,
  G_EXT_CTRLS: 71,
  S_EXT_CTRLS: 72,
  TRY_EXT_CTRLS: 73,
  ENUM_FRAMESIZES: 74,
  ENUM_FRAMEINTERVALS: 75,
  SUBSCRIBE_EVENT: 90,
  UNSUBSCRIBE_EVENT: 91,
  CREATE_BUFS: 92,
  PREPARE_BUF: 93,
  QUERY_EXT_CTRL: 103,
} as const;
