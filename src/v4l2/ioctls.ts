/**
 * Every VIDIOC that may pass from a guest to the host node. An ioctl without a row answers ENOTTY. In this way
 * QUERYCAP, DQBUF, DQEVENT, LOG_STATUS, the JPEG pair, DBG_*, FBUF, OVERLAY, priorities and private numbers are
 * refused (VIRTIO 1.4, Media Device, "Unsupported ioctls"). test/addon/layout.test.ts compares number, direction and
 * size with the compiler's values.
 */
import { streamparm, TunerCapability } from './layout.js';

/** Direction of the _IO* macro. `r`: the guest reads the payload. `w`: the guest writes it. `wr`: both. */
export type Direction = 'r' | 'w' | 'wr';

/** What the payload embeds. It selects the handler in src/media/ioctls/handlers.ts. */
export type Payload =
  | 'plain'
  | 'formats'
  | 'format'
  | 'frames'
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
  | 'subscription'
  | 'request';

/**
 * Payloads whose ioctls need no decision, unless the operator restricts controls or formats: a thread of the commandq
 * may run them (addon/flat_command.h). payload: the bytes cross as they are. controls: the records that follow as well,
 * if none of them has a pointer. queue: QBUF of a buffer in a frame plan.
 */
export const flatPayloads: Readonly<Partial<Record<Payload, 'payload' | 'controls' | 'queue'>>> = {
  plain: 'payload',
  formats: 'payload',
  format: 'payload',
  frames: 'payload',
  query: 'payload',
  menu: 'payload',
  control: 'payload',
  controls: 'controls',
  buffer: 'queue',
};

/** A 32-bit field of a payload of which a guest neither sees nor sets some bits. */
export interface FieldMask {
  /** Byte offset of the field. */
  readonly at: number;
  /** Bits that are always 0. */
  readonly hidden: number;
  /** Bits that are 0 as well, unless one of the bits `unless` is set. */
  readonly optional: number;
  readonly unless: number;
}

/** What happens to the bytes of a payload that crosses otherwise as it is. addon/row_rule.h carries it out. */
export interface RowRule {
  readonly mask?: FieldMask;
  /** Errors but ENOTTY are answered with the payload too. */
  readonly answersErrors?: true;
}

/** `readbuffers` is always 0, because the device does not offer read(). */
const noRead: RowRule = {
  mask: { at: streamparm.offset.readbuffers, hidden: 0xffff_ffff, optional: 0, unless: 0 },
};

/** The guest sees RDS only if the driver has it as controls, because RDS blocks need read() and write(). */
const noRdsBlocks = (capabilityAt: number): RowRule => ({
  mask: {
    at: capabilityAt,
    hidden: TunerCapability.RDS_BLOCK_IO,
    optional: TunerCapability.RDS,
    unless: TunerCapability.RDS_CONTROLS,
  },
});

/** The measured timings come with ENOLINK, ENOLCK and ERANGE too. */
const measured: RowRule = { answersErrors: true };

/** One ioctl. `nr`: number in the group 'V'. `size`: bytes of its payload. */
export interface IoctlRow {
  readonly nr: number;
  readonly name: string;
  readonly direction: Direction;
  readonly size: number;
  readonly payload: Payload;
  readonly rule?: RowRule;
}

type Row = readonly [nr: number, direction: Direction, bytes: number, payload: Payload, rule?: RowRule];

// biome-ignore format: a table
const rows = {
  // name              nr   dir  bytes  payload   rule
  ENUM_FMT:            [  2, 'wr',   64, 'formats'],
  G_FMT:               [  4, 'wr',  208, 'format'],
  S_FMT:               [  5, 'wr',  208, 'format'],
  REQBUFS:             [  8, 'wr',   20, 'allocate'],
  QUERYBUF:            [  9, 'wr',   88, 'buffer'],
  QBUF:                [ 15, 'wr',   88, 'buffer'],
  EXPBUF:              [ 16, 'wr',   64, 'export'],
  STREAMON:            [ 18, 'w',     4, 'stream'],
  STREAMOFF:           [ 19, 'w',     4, 'stream'],
  G_PARM:              [ 21, 'wr',  204, 'plain', noRead],
  S_PARM:              [ 22, 'wr',  204, 'plain', noRead],
  G_STD:               [ 23, 'r',     8, 'plain'],
  S_STD:               [ 24, 'w',     8, 'plain'],
  ENUMSTD:             [ 25, 'wr',   72, 'plain'],
  ENUMINPUT:           [ 26, 'wr',   80, 'plain'],
  G_CTRL:              [ 27, 'wr',    8, 'control'],
  S_CTRL:              [ 28, 'wr',    8, 'control'],
  G_TUNER:             [ 29, 'wr',   84, 'plain', noRdsBlocks(40)],
  S_TUNER:             [ 30, 'w',    84, 'plain'],
  G_AUDIO:             [ 33, 'r',    52, 'plain'],
  S_AUDIO:             [ 34, 'w',    52, 'plain'],
  QUERYCTRL:           [ 36, 'wr',   68, 'query'],
  QUERYMENU:           [ 37, 'wr',   44, 'menu'],
  G_INPUT:             [ 38, 'r',     4, 'plain'],
  S_INPUT:             [ 39, 'wr',    4, 'plain'],
  G_EDID:              [ 40, 'wr',   40, 'edid'],
  S_EDID:              [ 41, 'wr',   40, 'edid'],
  G_OUTPUT:            [ 46, 'r',     4, 'plain'],
  S_OUTPUT:            [ 47, 'wr',    4, 'plain'],
  ENUMOUTPUT:          [ 48, 'wr',   72, 'plain'],
  G_AUDOUT:            [ 49, 'r',    52, 'plain'],
  S_AUDOUT:            [ 50, 'w',    52, 'plain'],
  G_MODULATOR:         [ 54, 'wr',   68, 'plain', noRdsBlocks(36)],
  S_MODULATOR:         [ 55, 'w',    68, 'plain'],
  G_FREQUENCY:         [ 56, 'wr',   44, 'plain'],
  S_FREQUENCY:         [ 57, 'w',    44, 'plain'],
  CROPCAP:             [ 58, 'wr',   44, 'plain'],
  G_CROP:              [ 59, 'wr',   20, 'plain'],
  S_CROP:              [ 60, 'w',    20, 'plain'],
  QUERYSTD:            [ 63, 'r',     8, 'plain'],
  TRY_FMT:             [ 64, 'wr',  208, 'format'],
  ENUMAUDIO:           [ 65, 'wr',   52, 'plain'],
  ENUMAUDOUT:          [ 66, 'wr',   52, 'plain'],
  G_SLICED_VBI_CAP:    [ 69, 'wr',  116, 'plain'],
  G_EXT_CTRLS:         [ 71, 'wr',   32, 'controls'],
  S_EXT_CTRLS:         [ 72, 'wr',   32, 'controls'],
  TRY_EXT_CTRLS:       [ 73, 'wr',   32, 'controls'],
  ENUM_FRAMESIZES:     [ 74, 'wr',   44, 'frames'],
  ENUM_FRAMEINTERVALS: [ 75, 'wr',   52, 'frames'],
  G_ENC_INDEX:         [ 76, 'r',  2072, 'plain'],
  ENCODER_CMD:         [ 77, 'wr',   40, 'codec'],
  TRY_ENCODER_CMD:     [ 78, 'wr',   40, 'plain'],
  S_HW_FREQ_SEEK:      [ 82, 'w',    48, 'plain'],
  S_DV_TIMINGS:        [ 87, 'wr',  132, 'plain'],
  G_DV_TIMINGS:        [ 88, 'wr',  132, 'plain'],
  SUBSCRIBE_EVENT:     [ 90, 'w',    32, 'subscription'],
  UNSUBSCRIBE_EVENT:   [ 91, 'w',    32, 'subscription'],
  CREATE_BUFS:         [ 92, 'wr',  256, 'create'],
  PREPARE_BUF:         [ 93, 'wr',   88, 'buffer'],
  G_SELECTION:         [ 94, 'wr',   64, 'plain'],
  S_SELECTION:         [ 95, 'wr',   64, 'plain'],
  DECODER_CMD:         [ 96, 'wr',   72, 'codec'],
  TRY_DECODER_CMD:     [ 97, 'wr',   72, 'plain'],
  ENUM_DV_TIMINGS:     [ 98, 'wr',  148, 'plain'],
  QUERY_DV_TIMINGS:    [ 99, 'r',   132, 'plain', measured],
  DV_TIMINGS_CAP:      [100, 'wr',  144, 'plain'],
  ENUM_FREQ_BANDS:     [101, 'wr',   64, 'plain', noRdsBlocks(12)],
  QUERY_EXT_CTRL:      [103, 'wr',  232, 'query'],
  REMOVE_BUFS:         [104, 'wr',   64, 'remove'],
} as const satisfies Readonly<Record<string, Row>>;

/** The rows by ioctl number. */
export const ioctls: ReadonlyMap<number, IoctlRow> = new Map(
  Object.entries<Row>(rows).map(([name, [nr, direction, size, payload, rule]]) => [
    nr,
    { nr, name, direction, size, payload, ...(rule && { rule }) },
  ]),
);

type IoctlName = keyof typeof rows;

/** Number of each ioctl (the second argument of its _IO* macro). QUERYCAP is the bridge's own: guests do not have it. */
export const Ioctl = {
  QUERYCAP: 0,
  ...Object.fromEntries(Object.entries(rows).map(([name, [nr]]) => [name, nr])),
} as Readonly<{ QUERYCAP: 0 } & { [Name in IoctlName]: (typeof rows)[Name][0] }>;
