/** A clock that tests move: setTimeout and performance.now use it. Immediates and promises run as usual. */
import { mock } from 'node:test';

const now = performance.now.bind(performance);
let later = 0;

export function stopClock(): void {
  later = 0;
  performance.now = () => now() + later;
  mock.timers.enable({ apis: ['setTimeout'] });
}

export function pass(ms: number): void {
  later += ms;
  mock.timers.tick(ms);
}

export function startClock(): void {
  mock.timers.reset();
  performance.now = now;
}
