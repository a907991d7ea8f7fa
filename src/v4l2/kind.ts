/**
 * The kind of a node in one word, and whether the bridge can give the node to a guest. Pure functions: others have
 * read the facts.
 */
import type { NodeClass } from './discovery.js';
import { BufferType, Capability } from './layout.js';

/** The kind of a node, as `list` and `inspect` show it. */
export type Kind =
  | 'capture'
  | 'output'
  | 'capture and output'
  | 'stateful encoder'
  | 'stateful decoder'
  | 'stateless decoder'
  | 'codec'
  | 'converter'
  | 'vbi'
  | 'vbi output'
  | 'metadata'
  | 'metadata output'
  | 'touch'
  | 'radio'
  | 'radio transmitter'
  | 'sdr'
  | 'sdr output'
  | 'subdevice'
  | 'unknown';

/** The part of an enumerated format that distinguishes a codec from a converter. */
export interface CodedFormat {
  readonly fourcc: string;
  readonly compressed: boolean;
}

/** A queue of a node: `type` is V4L2_BUF_TYPE_*. */
export interface Queue {
  readonly type: number;
  readonly formats: readonly CodedFormat[];
}

/**
 * FOURCCs of parsed bitstreams. A decoder takes them only in media requests: V4L2_PIX_FMT_*_SLICE, *_FRAME,
 * *_STATELESS.
 */
export const statelessFormats: ReadonlySet<string> = new Set([
  'S264',
  'S265',
  'MG2S',
  'VP8F',
  'VP9F',
  'AV1F',
  'SFWH',
]);

const M2M = Capability.VIDEO_M2M | Capability.VIDEO_M2M_MPLANE;
const CAPTURE = Capability.VIDEO_CAPTURE | Capability.VIDEO_CAPTURE_MPLANE;
const OUTPUT = Capability.VIDEO_OUTPUT | Capability.VIDEO_OUTPUT_MPLANE;

/** The first row with at least one of its capability bits (`any`) set gives the kind. */
const kindRows: readonly (readonly [any: number, kind: Kind])[] = [
  [Capability.TOUCH, 'touch'],
  [CAPTURE, 'capture'],
  [OUTPUT, 'output'],
  [Capability.VBI_CAPTURE | Capability.SLICED_VBI_CAPTURE, 'vbi'],
  [Capability.VBI_OUTPUT | Capability.SLICED_VBI_OUTPUT, 'vbi output'],
  [Capability.META_CAPTURE, 'metadata'],
  [Capability.META_OUTPUT, 'metadata output'],
  [Capability.SDR_CAPTURE, 'sdr'],
  [Capability.SDR_OUTPUT, 'sdr output'],
  [Capability.MODULATOR, 'radio transmitter'],
  [Capability.RADIO | Capability.TUNER, 'radio'],
];

/** `caps`: device_caps of QUERYCAP. `queues`: the formats of each buffer type. */
export function kindOf(nodeClass: NodeClass, caps: number, queues: readonly Queue[]): Kind {
  if (nodeClass === 'v4l-subdev') return 'subdevice';
  if ((caps & M2M) !== 0) return memoryToMemoryKind(queues);
  if ((caps & CAPTURE) !== 0 && (caps & OUTPUT) !== 0) return 'capture and output';
  return kindRows.find(([any]) => (caps & any) !== 0)?.[1] ?? 'unknown';
}

/** The compressed side shows which codec it is. OUTPUT is the queue that the program fills. */
function memoryToMemoryKind(queues: readonly Queue[]): Kind {
  const input = formatsOf(queues, BufferType.VIDEO_OUTPUT, BufferType.VIDEO_OUTPUT_MPLANE);
  const result = formatsOf(queues, BufferType.VIDEO_CAPTURE, BufferType.VIDEO_CAPTURE_MPLANE);
  if (input.some(({ fourcc }) => statelessFormats.has(fourcc))) return 'stateless decoder';
  const compressedIn = input.some(({ compressed }) => compressed);
  const compressedOut = result.some(({ compressed }) => compressed);
  if (compressedIn && compressedOut) return 'codec';
  if (compressedIn) return 'stateful decoder';
  return compressedOut ? 'stateful encoder' : 'converter';
}

const formatsOf = (queues: readonly Queue[], ...types: number[]): readonly CodedFormat[] =>
  queues.filter(({ type }) => types.includes(type)).flatMap(({ formats }) => formats);

/**
 * Whether the node is an output only until a program of the host feeds it, and a capture device then (v4l2loopback with
 * exclusive_caps=1). `isVirtual`: no device is behind it, because an output of hardware stays one.
 */
export function waitsForProducer(nodeClass: NodeClass, caps: number, isVirtual: boolean): boolean {
  return nodeClass === 'video' && isVirtual && (caps & OUTPUT) !== 0 && (caps & (CAPTURE | M2M)) === 0;
}

/** Whether a guest's driver can use the node: it has buffers, or a tuner or modulator (a radio has only controls). */
export function isUsable(caps: number): boolean {
  return (caps & (Capability.STREAMING | Capability.TUNER | Capability.MODULATOR)) !== 0;
}

/** Why no guest can have the node, in a sentence. undefined: a guest can have it. */
export function refusalOf(nodeClass: NodeClass, caps: number): string | undefined {
  if (nodeClass === 'v4l-subdev')
    return 'a sub-device has no buffers: give the guest the video node of the same pipeline';
  if (!isUsable(caps)) {
    return (caps & Capability.READWRITE) !== 0
      ? 'the driver only offers read() and write(): virtio-media needs streaming I/O'
      : 'the driver offers no streaming I/O, which is all that virtio-media carries';
  }
  return undefined;
}

/** The caution about a node that waits for its producer, without a full stop. */
export const WAITS_FOR_PRODUCER =
  'it waits for a producer: it is an output until a program of this host feeds it, and a capture device then; serve --wait waits for that';

const unpolled: ReadonlySet<Kind> = new Set<Kind>([
  'vbi',
  'vbi output',
  'metadata',
  'metadata output',
  'sdr',
  'sdr output',
]);

/** What works less well in a guest than on the host, in sentences without a full stop. */
export function cautionsOf(caps: number, kind: Kind): string[] {
  const cautions: string[] = [];
  if ((caps & (Capability.STREAMING | Capability.READWRITE)) === Capability.READWRITE)
    cautions.push('what the node gives to read() and takes from write() (RDS data) is not passed on');
  if (unpolled.has(kind))
    cautions.push(
      "the Linux guest driver's poll() never reports these buffers: use blocking DQBUF in the guest",
    );
  if (kind === 'capture and output')
    cautions.push(
      'the Linux guest driver treats a node that is both as an output: load v4l2loopback with exclusive_caps=1',
    );
  if ((caps & Capability.IO_MC) !== 0)
    cautions.push(
      'the pipeline in front of this node is set up with media-ctl on the host, before the guest starts',
    );
  return cautions;
}
