/** The daemon in a process of its own, so that what it holds can be counted and its death can be seen. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon, type ServeOptions } from '../../src/daemon.js';
import { configureLog } from '../../src/log.js';
import { closedButKnown } from './objects.js';

/** Deadlines of the last commands may know their sessions. */
const FORGET_MS = 6000;

configureLog('info', 'json');
const daemon = new Daemon(JSON.parse(process.argv[2]!) as ServeOptions);
await daemon.start();
process.stdout.write('ready\n');

/** Without guests there are no objects of theirs. */
async function end(): Promise<void> {
  await daemon.stop();
  const limit = performance.now() + FORGET_MS;
  let known = await closedButKnown();
  while (Object.values(known).some((count) => count > 0) && performance.now() < limit) {
    await sleep(100);
    known = await closedButKnown();
  }
  if (Object.values(known).some((count) => count > 0))
    console.error(`closed, but known: ${JSON.stringify(known)}`);
  process.exit(0);
}

// The end of the test, however it ends.
process.stdin.resume();
process.stdin.on('end', () => void end());
