/** A host node opened for questions only: no stream, no session, no guest. */
import { HostNode } from './node.js';
import type { Questioned } from './survey.js';

export function questioned(path: string): Questioned {
  const file = new HostNode(path).open(() => undefined);
  return {
    open: () => file.open(),
    ioctl: async (nr, payload) => file.ioctl(nr, payload),
    close: () => void file.close(),
  };
}
