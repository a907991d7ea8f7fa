/** An ioctl that the hardware holds up for longer than a guest waits: vim2m's jobs take as long as they are told to. */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
