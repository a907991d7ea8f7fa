/** The daemon in a process of its own, so that the test can count what it holds and can see it die. */
import { Daemon, type ServeOptions } from '../../../src/daemon.js';
import { configureLog } from '../../../src/log.js';
import { untilForgotten } from './living-objects.js';

configureLog('info', 'json');
const daemon = new Daemon(JSON.parse(process.argv[2]!) as ServeOptions);
await daemon.start();
process.stdout.write('ready\n');

/** Without guests there must be no virtio objects. */
async function end(): Promise<void> {
  await daemon.stop();
  await untilForgotten(0).catch((error: Error) => console.error(error.message));
  process.exit(0);
}

// The test has ended, in whatever way.
process.stdin.resume();
process.stdin.on('end', () => void end());
