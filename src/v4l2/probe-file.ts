/** A host node that is opened only for queries: no stream, no session, no guest. */
import { encoded } from '../struct.js';
import { extControl, extControls, Which } from './control-layout.js';
import { Ioctl } from './ioctls.js';
import { HostNode } from './node.js';
import type { ProbeFile } from './survey.js';

/** Makes a ProbeFile of the node at `path`. Nothing is opened before open() is called. */
export function probeFile(path: string): ProbeFile {
  const node = new HostNode(path);
  const file = node.open(() => undefined);
  return {
    open: () => file.open(),
    ioctl: async (nr, payload) => file.ioctl(nr, payload),
    readPayload: async (id, payload) => {
      const controls = encoded(extControls, { which: Which.CURRENT, count: 1 });
      const array = encoded(extControl, { id, size: payload.length });
      return file.call({ kind: 'controls', nr: Ioctl.G_EXT_CTRLS, controls, array, payloads: [payload] });
    },
    holders: () => node.holders(),
    close: () => void file.close(),
  };
}
