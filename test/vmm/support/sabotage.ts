/**
 * Loaded into the process of a bridge by tests: faults of TypeScript at will. Each SIGUSR2 takes the next one. The bugs
 * are made up; what becomes of them is not.
 */
import { log } from '../../../src/log.js';
import { MediaDevice } from '../../../src/media/device.js';

/** In this order; each says its name on stdout. */
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
  /** The next command. */
  command: () => {
    prototype.ioctl = () => {
      prototype.ioctl = ioctl;
      throw new Error('sabotage: a command');
    };
  },
  /** The next kick, on either queue. */
  kick: () => {
    prototype.queueKicked = () => {
      prototype.queueKicked = queueKicked;
      throw new Error('sabotage: a kick');
    };
  },
  /** More than a pipe holds. */
  log: () => {
    for (let line = 0; line < 100; line++) log.warn(`sabotage: ${'a line of the log'.repeat(100)}`);
  },
};

process.on('SIGUSR2', () => {
  const fault = faults[next++ % faults.length]!;
  process.stdout.write(`sabotage: ${fault}\n`);
  acts[fault]();
});
