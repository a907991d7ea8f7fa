/** Descriptors that are closed after the test. */
import { closeSync } from 'node:fs';
import { native } from '../../../src/native.js';

/** Adds the hooks of a suite. `keep` returns what it is given. */
export function keptDescriptors() {
  const open: number[] = [];
  const keep = (...descriptors: number[]): number[] => {
    open.push(...descriptors);
    return descriptors;
  };
  const pair = (): [number, number] => {
    const both = native.socketPair();
    keep(...both);
    return both;
  };
  afterEach(() => {
    for (const fd of open.splice(0)) closeSync(fd);
  });
  return { keep, pair, open };
}
