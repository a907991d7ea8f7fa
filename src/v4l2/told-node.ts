/** What a guest was told of its node when its driver probed the device, and what the node lacks of it now. */
import type { NodeDescription } from './description.js';
import { bufferTypesOf, type RunIoctl } from './enumeration.js';
import { Ioctl } from './ioctls.js';
import { Capability, fmtdesc } from './layout.js';
import { capabilityWords } from './names.js';

/** What a guest was told. It stays until the guest's driver probes the device again. */
export type ToldNode = Pick<NodeDescription, 'deviceCaps' | 'deviceType'>;

/** What a node lacks. */
export interface Lack {
  /** In words: `VIDEO_CAPTURE`. */
  readonly text: string;
  /** Whether it is output, and nothing else. */
  readonly isOutput: boolean;
}

const OUTPUT = Capability.VIDEO_OUTPUT | Capability.VIDEO_OUTPUT_MPLANE;

/**
 * What the node lacks of what the guest was told. null: nothing; more than the guest was told does no harm. `now`: what
 * QUERYCAP of an open file says. `ask`: runs ioctls on that file. A driver may say less of a file than the file can do
 * (v4l2loopback, after a program has used its control timeout_image_io): formats that it enumerates count.
 */
export async function lackOf(told: ToldNode, now: ToldNode, ask: RunIoctl): Promise<Lack | null> {
  if (told.deviceType !== now.deviceType) return { text: 'the type of node', isOutput: false };
  let lack = 0;
  for (let bit = 1; bit !== 0; bit <<= 1)
    if ((told.deviceCaps & ~now.deviceCaps & bit) !== 0 && !(await hasFormats(bit, ask))) lack |= bit;
  return lack === 0 ? null : { text: capabilityWords(lack).join(' '), isOutput: (lack & ~OUTPUT) === 0 };
}

/** Whether each buffer type of a capability has a format. False for a capability without buffer types. */
async function hasFormats(capability: number, ask: RunIoctl): Promise<boolean> {
  const types = bufferTypesOf(capability);
  for (const type of types) {
    const payload = Buffer.alloc(fmtdesc.size);
    payload.writeUInt32LE(type, fmtdesc.offset.type);
    if ((await ask(Ioctl.ENUM_FMT, payload)) !== 0) return false;
  }
  return types.length > 0;
}
