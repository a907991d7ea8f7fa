/** A FAKE answer to the first question to a node: whatever file it is, it is a camera. For --import of a process. */
import { HostNode } from '../../../../src/v4l2/node.js';

const CAPTURE_STREAMING = 0x0400_0001;

HostNode.prototype.describe = async () => ({
  driver: 'fake',
  card: 'fake camera',
  busInfo: '',
  deviceCaps: CAPTURE_STREAMING,
  deviceType: 0,
});
