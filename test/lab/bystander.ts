/** Whoever has nothing to do with a device that hangs, and how long each of their questions takes meanwhile. */
import assert from 'node:assert/strict';
import type { FrontEnd } from '../../src/client/front-end.js';
import type { GuestDriver } from '../../src/client/guest-driver.js';
import { Request } from '../../src/client/requests.js';
import type { GuestQueue } from './queue.js';

/** The promise. A machine in emulation that others work on too keeps it in the middle, not each single time. */
const PROMISE_MS = 50;
/** Far below what anything hangs for: who waits for the device waits for seconds. */
const BUSY_MACHINE_MS = 1000;
const EMPTY = Buffer.alloc(0);

export type Question = () => Promise<unknown>;

/** What a VMM asks at any time. */
export function controlQuestions({ conversation }: FrontEnd): Record<string, Question> {
  return {
    GET_FEATURES: () => conversation.ask(Request.GET_FEATURES, EMPTY, 8),
    GET_QUEUE_NUM: () => conversation.ask(Request.GET_QUEUE_NUM, EMPTY, 8),
    GET_CONFIG: () => conversation.getConfig(0, 40),
  };
}

/** Asks everything in turn until `work` is done. Milliseconds of each answer, by question. */
export async function askMeanwhile(
  questions: Readonly<Record<string, Question>>,
  work: Promise<unknown>,
): Promise<ReadonlyMap<string, number[]>> {
  const times = new Map<string, number[]>(Object.keys(questions).map((name) => [name, []]));
  let over = false;
  const end = () => {
    over = true;
  };
  work.then(end, end);
  while (!over) {
    for (const [name, ask] of Object.entries(questions)) {
      const started = performance.now();
      await ask();
      times.get(name)!.push(performance.now() - started);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return times;
}

/** Holds the answers to the promise, and says in one line what they took. */
export function judge(what: string, times: ReadonlyMap<string, number[]>): void {
  const all = [...times.values()].flat().sort((a, b) => a - b);
  const median = all[all.length >> 1]!;
  const slowest = all.at(-1)!;
  console.log(
    `      ${what}: ${all.length} answers to others, median ${median.toFixed(1)} ms, slowest ${slowest.toFixed()} ms`,
  );
  for (const [name, own] of times) {
    assert.ok(own.length >= 5, `${name} was answered ${own.length} times only`);
    const longest = Math.max(...own);
    assert.ok(longest < BUSY_MACHINE_MS, `${name} took ${longest.toFixed()} ms`);
  }
  assert.ok(median < PROMISE_MS, `others wait ${median.toFixed()} ms`);
}

/** A stream that goes on whatever happens elsewhere: each frame, in order, as often as it can be had. */
export class Onlooker {
  frames = 0;
  #last = -1;
  #error: Error | undefined;

  constructor(
    readonly driver: GuestDriver,
    readonly queue: GuestQueue,
  ) {
    driver.onEvent(queue.session, (event) => {
      if (event.kind !== 'dqbuf') return;
      const { index, sequence } = event.buffer;
      if (sequence <= this.#last) this.#error ??= new Error(`frame ${sequence} after ${this.#last}`);
      this.#last = sequence;
      this.frames++;
      queue.queue(index).catch((error: Error) => {
        this.#error ??= error;
      });
    });
  }

  /** Runs `work` and holds the stream to at least `rate` frames a second meanwhile. */
  async during<T>(rate: number, work: Promise<T>): Promise<T> {
    const [frames, started] = [this.frames, performance.now()];
    const value = await work;
    const seconds = (performance.now() - started) / 1000;
    const seen = (this.frames - frames) / seconds;
    if (this.#error) throw this.#error;
    assert.ok(seen >= rate, `the other stream has ${seen.toFixed(1)} frames a second`);
    return value;
  }

  stop(): void {
    this.driver.onEvent(this.queue.session, undefined);
  }
}
