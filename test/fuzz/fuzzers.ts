/** Every fuzzer there is. */
import { commands } from './commands.js';
import type { Fuzzer } from './fuzzer.js';

export const fuzzers: readonly Fuzzer[] = [commands];
