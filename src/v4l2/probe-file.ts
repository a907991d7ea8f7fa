/** A host node that is opened only for queries: no stream, no session, no guest. */
import { HostNode } from './node.js';
import type { ProbeFile } from './survey.js';

/** Makes a ProbeFile of the node at `path`. Nothing is opened before open() is called. */
export function probeFile(path: string): ProbeFile {
  const node = new HostNode(path);
  const file = node.open(() => undefined);
  return {
    open: () => file.open(),
    ioctl: async (nr, payload) => file.ioctl(nr, payload),
    holders: () => node.holders(),
    close: () => void file.close(),
  };
}
