/** Clients that have nothing to do with a device that hangs, and how long each of their requests takes meanwhile. */

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GuestDriver } from '../../../src/client/guest-driver.js';
import type { Vmm } from '../../../src/client/vmm.js';
import { FrontEndRequest } from '../../../src/vhost-user/protocol.js';
import type { GuestQueue } from './guest-queue.js';

/** Milliseconds within which the bridge promises to answer others. */
const PROMISE_MS = 50;
/**
 * An emulated machine that others use too may be slower than the promise. Then this many times its usual time is
 * allowed.
 */
const TIMES_USUAL = 3;
/** Milliseconds. Every hang lasts much longer, so a request that waits for the device takes longer than this. */
const BUSY_MACHINE_MS = 1000;
/** Number of rounds that measure the usual time. */
const USUAL_ROUNDS = 10;
const EMPTY = Buffer.alloc(0);

type Questions = Readonly<Record<string, () => Promise<unknown>>>;

/** Requests that a VMM may send at any time. */
export function controlQuestions({ conversation }: Vmm): Questions {
  return {
    GET_FEATURES: () => conversation.ask(FrontEndRequest.GET_FEATURES, EMPTY, 8),
    GET_QUEUE_NUM: () => conversation.ask(FrontEndRequest.GET_QUEUE_NUM, EMPTY, 8),
    GET_CONFIG: () => conversation.getConfig(0, 40),
  };
}

/** Milliseconds of each answer, by request. */
type Times = ReadonlyMap<string, number[]>;

/** Sends all requests in turn while `lasts` returns true. */
async function askWhile(questions: Questions, lasts: () => boolean): Promise<Times> {
  const times = new Map<string, number[]>(Object.keys(questions).map((name) => [name, []]));
  while (lasts()) {
    for (const [name, ask] of Object.entries(questions)) {
      const started = performance.now();
      await ask();
      times.get(name)!.push(performance.now() - started);
    }
    await sleep(20);
  }
  return times;
}

/** The median time of the answers when nothing hangs, in milliseconds. */
export async function usual(questions: Questions): Promise<number> {
  let left = USUAL_ROUNDS;
  return middle(await askWhile(questions, () => left-- > 0));
}

/** Sends all requests in turn until `work` has ended. */
export function askMeanwhile(questions: Questions, work: Promise<unknown>): Promise<Times> {
  let over = false;
  const end = () => {
    over = true;
  };
  work.then(end, end);
  return askWhile(questions, () => !over);
}

function middle(times: Times): number {
  const all = [...times.values()].flat().sort((a, b) => a - b);
  return all[all.length >> 1]!;
}

/** Checks that the answers came in time, and prints one line of figures. `before`: the usual time in milliseconds. */
export function judge(what: string, times: Times, before: number): void {
  const all = [...times.values()].flat();
  const median = middle(times);
  const figures = `median ${median.toFixed(1)} ms (${before.toFixed(1)} before), slowest ${Math.max(...all).toFixed()} ms`;
  console.log(`      ${what}: ${all.length} answers to others, ${figures}`);
  for (const [name, own] of times) {
    assert.ok(own.length >= 5, `${name} was answered ${own.length} times only`);
    const longest = Math.max(...own);
    assert.ok(longest < BUSY_MACHINE_MS, `${name} took ${longest.toFixed()} ms`);
  }
  assert.ok(median < Math.max(PROMISE_MS, TIMES_USUAL * before), `others wait: ${figures}`);
}

/** A stream that must go on whatever happens elsewhere. It takes each frame in order and queues it again at once. */
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

  /** Waits for `work`. Throws if the stream does not go on meanwhile. */
  async during<T>(work: Promise<T>): Promise<T> {
    const [frames, started] = [this.frames, performance.now()];
    const value = await work;
    const seconds = (performance.now() - started) / 1000;
    if (this.#error) throw this.#error;
    const seen = this.frames - frames;
    assert.ok(seen > 2 * seconds, `the other stream had ${seen} frames in ${seconds.toFixed(1)} s`);
    return value;
  }

  stop(): void {
    this.driver.onEvent(this.queue.session, undefined);
  }
}
