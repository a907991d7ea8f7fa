/**
 * Tests load this module into the process of a bridge. Each SIGUSR2 causes the next fault in its TypeScript. The faults
 * are artificial; the bridge's reaction is real.
 */
import { log } from '../../../src/log.js';
import { MediaDevice } from '../../../src/media/device.js';

/** The faults in order. Each prints its name on stdout. */
const faults = ['exception', 'rejection', 'command', 'kick', 'log'] as const;

const { prototype } = MediaDevice;
const { ioctl, queueKicked } = prototype;
let next = 0;

const acts: Readonly<Record<(typeof faults)[number], () => void>> = {
  exception: () => {
    setImmediate(() => {
      throw new Error('sabotage: an exception');
    });
  },
  rejection: () => void Promise.reject(new Error('sabotage: a rejection')),
  /** In the next command. */
  command: () => {
    prototype.ioctl = () => {
      prototype.ioctl = ioctl;
      throw new Error('sabotage: a command');
    };
  },
  /** In the next kick, on either queue. */
  kick: () => {
    prototype.queueKicked = () => {
      prototype.queueKicked = queueKicked;
      throw new Error('sabotage: a kick');
    };
  },
  /** More lines than a pipe takes. */
  log: () => {
    for (let line = 0; line < 100; line++) log.warn(`sabotage: ${'a line of the log'.repeat(100)}`);
  },
};

process.on('SIGUSR2', () => {
  const fault = faults[next++ % faults.length]!;
  process.stdout.write(`sabotage: ${fault}\n`);
  acts[fault]();
});
