/** The table of handlers: one for each kind of payload (`Payload` in src/v4l2/ioctls.ts). */
import type { Payload } from '../../v4l2/ioctls.js';
import type { Answer } from '../commands/command.js';
import type { Execution } from '../commands/execution.js';
import type { Session } from '../session.js';
import { bufferIoctl } from './buffers.js';
import { codecIoctl } from './codec-cmd.js';
import { oneControl } from './control.js';
import { extendedControls } from './controls.js';
import { edidIoctl } from './edid.js';
import { subscriptionIoctl } from './event-subscription.js';
import { exportIoctl } from './expbuf.js';
import { enumerateFormats, enumerateFrames, formatIoctl } from './formats.js';
import { queryControl, queryMenu } from './hidden-controls.js';
import { type IoctlRequest, refuse } from './ioctl-request.js';
import { plain } from './plain.js';
import { createBuffers, removeBuffers, requestBuffers } from './reqbufs.js';
import { requestIoctl } from './requests.js';
import { streamingIoctl } from './streaming.js';

type Handler = (session: Session, request: IoctlRequest) => Promise<Answer>;

const handlers: Readonly<Record<Payload, Handler>> = {
  plain,
  formats: enumerateFormats,
  format: formatIoctl,
  frames: enumerateFrames,
  allocate: requestBuffers,
  create: createBuffers,
  remove: removeBuffers,
  buffer: bufferIoctl,
  export: exportIoctl,
  stream: streamingIoctl,
  codec: codecIoctl,
  query: queryControl,
  menu: queryMenu,
  control: oneControl,
  controls: extendedControls,
  edid: edidIoctl,
  subscription: subscriptionIoctl,
  request: requestIoctl,
};

/** For `execute`: how an ioctl with this kind of payload is run. */
export const executions = Object.fromEntries(
  Object.entries(handlers).map(([payload, run]) => [payload, { refuse, run }]),
) as Readonly<Record<Payload, Execution<IoctlRequest>>>;
