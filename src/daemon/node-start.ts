/** A node before it is served: what it is, whether it needs media requests, and why it cannot be served. */
import { Errno, errnoName } from '../errno.js';
import type { RequestSupport } from '../media/session-context.js';
import { accessCure } from '../privileges.js';
import { isFailure } from '../result.js';
import { mediaFailure, nodeFailure } from '../start-error.js';
import type { NodeDescription } from '../v4l2/description.js';
import { holdersText } from '../v4l2/holders.js';
import { MediaFile, openMedia, type RequestNeed, requestNeed, requestQueues } from '../v4l2/media-request.js';
import { type HostNode, NodeError } from '../v4l2/node.js';
import { openFailureOf } from '../v4l2/open-failure.js';
import { probeFile } from '../v4l2/probe-file.js';
import { isMomentary } from '../v4l2/refusal.js';

export type RequestMode = 'auto' | 'handles' | 'off';

/** The media requests of one node. Its media device stays open until the service stops. */
export interface NodeRequests extends RequestSupport {
  readonly media: MediaFile;
}

/**
 * Opens the media device of a node that takes media requests. Undefined: the node takes none, `mode` is `auto` and the
 * node works without them, or `mode` is `off`. Throws StartError.
 */
export async function requestsOf(
  path: string,
  { card, deviceCaps }: NodeDescription,
  mode: RequestMode,
): Promise<NodeRequests | undefined> {
  // A camera is not opened for this, because that would wake it up.
  if (mode === 'off' || requestQueues(deviceCaps).length === 0) return undefined;
  const need = await askNeed(path, deviceCaps);
  if (need === 'none' || (need !== 'required' && mode === 'auto')) return undefined;
  const media = await openMedia(path);
  if (!isFailure(media)) return { mode, media: new MediaFile(media) };
  // Only a media device makes media requests, and this node has none.
  if (need === 'unknown' && media.errno === Errno.ENODEV) return undefined;
  const what = `${path} (${card}) takes buffers in media requests, and its media device cannot be opened`;
  throw mediaFailure(media.errno, what, isMomentary(media.errno));
}

/**
 * Whether the node needs media requests. Throws StartError if it does not answer, because a stateless decoder without
 * media requests decodes nothing.
 */
async function askNeed(path: string, deviceCaps: number): Promise<RequestNeed> {
  const file = probeFile(path);
  try {
    const errno = await file.open();
    if (errno !== 0) throw nodeFailure(errno, `${path} cannot be opened: ${errnoName(errno)}`);
    const need = await requestNeed(file.ioctl, deviceCaps);
    if (!isFailure(need)) return need;
    const what = `${path} cannot be asked for its formats: ${errnoName(need.errno)}`;
    throw nodeFailure(need.errno, what);
  } finally {
    file.close();
  }
}

/** What the node is. Throws StartError. */
export async function describe(node: HostNode): Promise<NodeDescription> {
  try {
    return await node.describe();
  } catch (error) {
    if (!(error instanceof NodeError)) throw error;
    throw nodeFailure(error.errno, error.message, await cureOf(node, error));
  }
}

/** The cure, if this host tells more than the errno. */
async function cureOf(node: HostNode, { errno }: NodeError): Promise<string | undefined> {
  const failure = openFailureOf(errno);
  if (failure === 'not permitted') return accessCure(node.path);
  if (failure !== 'busy') return undefined;
  const found = await node.holders().catch(() => undefined);
  if (found?.own) return 'it is served already, and its driver lets one program open it once';
  return found && `${holdersText(found)} has it, end that one first`;
}
