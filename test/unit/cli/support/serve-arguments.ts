/** Arguments of `serve`, as yargs gives them. */
import type { ServeArguments } from '../../../../src/cli/serve.js';

/** The result of yargs if no option is given. */
export const defaults: ServeArguments = {
  mmap: 'auto',
  frontend: 'auto',
  'mem-slots': false,
  objects: false,
  'shared-pages': false,
  'error-events': false,
  requests: 'auto',
};
/** One node on one socket. */
export const one = { device: ['/dev/video0'], 'socket-path': ['/run/a.sock'] };
