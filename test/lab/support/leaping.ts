/** The clock of the lab's machine. */
import { readFileSync } from 'node:fs';

/** Whether it leaps over times in which nothing runs. Then no program is too slow for a camera (test/lab/README.md). */
export const isLeaping = readFileSync('/proc/cmdline', 'latin1').includes('time-travel');
