/** All fuzzers, the longest first. */
import { commands } from './commands.js';
import type { Fuzzer } from './fuzzer.js';
import { messages } from './messages.js';
import { rings } from './rings.js';

export const fuzzers: readonly Fuzzer[] = [commands, rings, messages];
