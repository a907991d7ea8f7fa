/** Ioctls of a stateful codec that belong to no queue: start and stop, event subscription, minimum of buffers. */
import { Errno } from '../errno.js';
import { encoded } from '../struct.js';
import { Ioctl } from '../v4l2/ioctls.js';
import { CODEC_CMD_STOP, eventSubscription } from '../v4l2/layout.js';
import type { CodecRole } from './codec-formats.js';
import { controlIoctl } from './control-ioctls.js';
import { DriverError } from './driver-error.js';
import type { GuestDriver } from './guest-driver.js';
import { sessionIoctl } from './session-ioctl.js';

/** The ioctl that drains and restarts, and bytes of its record, by role. A converter has none. */
const commands: Readonly<Record<CodecRole, { nr: number; size: number } | undefined>> = {
  decoder: { nr: Ioctl.DECODER_CMD, size: 72 },
  encoder: { nr: Ioctl.ENCODER_CMD, size: 40 },
  converter: undefined,
};
/** V4L2_CID_MIN_BUFFERS_FOR_CAPTURE, V4L2_CID_MIN_BUFFERS_FOR_OUTPUT. */
const minimumControls = { capture: 0x0098_0927, output: 0x0098_0928 } as const;
export type Side = keyof typeof minimumControls;

/** Whether a device of this role takes codecCommand(). */
export function hasCommands(role: CodecRole): boolean {
  return commands[role] !== undefined;
}

/**
 * DECODER_CMD or ENCODER_CMD with `command` (CODEC_CMD_*). EBUSY for STOP is no error: the device drains already.
 * Throws DriverError for any other errno.
 */
export async function codecCommand(
  driver: GuestDriver,
  sessionId: number,
  role: CodecRole,
  command: number,
): Promise<void> {
  const { nr, size } = commands[role]!;
  const payload = Buffer.alloc(size);
  payload.writeUInt32LE(command);
  const errno = await sessionIoctl(driver, sessionId)(nr, payload);
  const isDraining = command === CODEC_CMD_STOP && errno === Errno.EBUSY;
  if (errno !== 0 && !isDraining) throw new DriverError(driver.operation(nr), errno);
}

/** SUBSCRIBE_EVENT. An errno is ignored: a device without the event never needs to send it. */
export async function subscribe(driver: GuestDriver, sessionId: number, type: number): Promise<void> {
  await sessionIoctl(driver, sessionId)(Ioctl.SUBSCRIBE_EVENT, encoded(eventSubscription, { type }));
}

/** The minimum of buffers that the device reports for a queue; 0: the device does not have the control. */
export async function minimumBuffers(driver: GuestDriver, sessionId: number, side: Side): Promise<number> {
  const asked = [{ id: minimumControls[side] }];
  const { errno, controls } = await controlIoctl(driver, sessionId, Ioctl.G_EXT_CTRLS, asked);
  return errno === 0 ? Number(BigInt.asUintN(32, controls[0]!.value)) : 0;
}
