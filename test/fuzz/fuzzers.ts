/** Every fuzzer there is. */
import { commands } from './commands.js';
import type { Fuzzer } from './fuzzer.js';
import { rings } from './rings.js';

export const fuzzers: readonly Fuzzer[] = [rings, commands];
