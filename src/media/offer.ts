/** What REQBUFS and CREATE_BUFS tell a guest about its memory types. */
import { Ioctl } from '../v4l2/ioctls.js';
import {
  BufferCapability,
  createBuffers as createRecord,
  requestBuffers as requestRecord,
} from '../v4l2/layout.js';
import type { IoctlRequest } from './ioctl.js';
import type { Session, SessionContext } from './session.js';

/** The Linux driver would show the bit and has no call. */
const HIDDEN = BufferCapability.REMOVE_BUFS;

/**
 * The capabilities that are true for the guest: its own pages work with every driver, objects where the driver imports. 0:
 * the driver is one that says nothing of them (v4l2loopback), and neither does the bridge.
 */
function capabilitiesOf({ sharedPages, objects, requests }: SessionContext, host: number): number {
  const { USERPTR, DMABUF, REQUESTS } = BufferCapability;
  const absent = (objects ? 0 : DMABUF) | (requests?.mode === 'handles' ? 0 : REQUESTS);
  const own = host & ~(HIDDEN | USERPTR | absent);
  return host === 0 ? 0 : (own | (sharedPages ? USERPTR : 0)) >>> 0;
}

/** Puts the guest's memory type back into an answer, and only the capabilities that it has. */
export function conceal({ context }: Session, { row, payload }: IoctlRequest, memory: number): void {
  const record = row.nr === Ioctl.REQBUFS ? requestRecord : createRecord;
  payload.writeUInt32LE(memory, record.offset.memory);
  const capabilities = payload.readUInt32LE(record.offset.capabilities);
  payload.writeUInt32LE(capabilitiesOf(context, capabilities), record.offset.capabilities);
  if (row.nr !== Ioctl.CREATE_BUFS || !(capabilities & BufferCapability.MAX_NUM_BUFFERS)) return;
  const most = payload.readUInt32LE(createRecord.offset.maxNumBuffers);
  payload.writeUInt32LE(Math.min(most, context.policy.maxBuffers), createRecord.offset.maxNumBuffers);
}
