/** What libuv opens once a process, so that a test that counts descriptors does not take it for a leak. */
import { once } from 'node:events';
import { createConnection } from 'node:net';

/** The first stream of a loop opens /dev/null, for the time when no descriptor is free. */
export async function openLoopDescriptors(): Promise<void> {
  const socket = createConnection({ path: '/nonexistent/socket' });
  await once(socket, 'error');
}
