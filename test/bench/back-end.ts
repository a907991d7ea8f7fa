/** A back-end on the fake node: ours, or a peer. */
import { readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FakeDevice } from './fake-device.js';
import { Launched } from './launched.js';
import { parts } from './parts.js';

const START_MS = 30_000;
/** A sanitizer's libraries (test/sanitize.sh) come before everything else. */
const preloaded = [process.env.LD_PRELOAD, parts.fakeNode].filter(Boolean).join(':');
/** The daemon looks for `node` there. */
const withThisNode = `${dirname(process.execPath)}:${process.env.PATH}`;
/** SO_ACCEPTCON in the flags of /proc/net/unix. */
const LISTENS = '00010000';

/** A sentence about a process that did not do what the bench needs. */
export class BenchError extends Error {}

function isListening(socket: string): boolean {
  return readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .some((line) => line.endsWith(` ${socket}`) && line.split(' ')[3] === LISTENS);
}

/** Resident memory in MiB. */
export function residentOf(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(kibibytes?.[1] ?? 0) / 1024;
}

export class BackEnd {
  readonly socket: string;
  readonly counters: string;
  readonly process: Launched;
  /** Milliseconds from exec until it listened. */
  start = 0;

  private constructor(
    readonly name: string,
    readonly device: FakeDevice,
    readonly processors: string,
    command: readonly string[],
  ) {
    this.socket = device.file('socket');
    this.counters = device.file('counters');
    for (const each of [this.socket, this.counters]) rmSync(each, { force: true });
    const places = { '@DEVICE@': device.path, '@SOCKET@': this.socket };
    this.process = new Launched({
      command: command.map((word) =>
        word.replace(/@DEVICE@|@SOCKET@/g, (name) => places[name as '@SOCKET@']),
      ),
      processors,
      sysfs: device.sysfs,
      preload: preloaded,
      env: { FAKE_NODE: device.path, FAKE_COUNTERS: this.counters, PATH: withThisNode },
    });
  }

  /** Starts it, and waits until it listens. Throws a BenchError. */
  static async start(
    name: string,
    device: FakeDevice,
    processors: string,
    command: readonly string[],
  ): Promise<BackEnd> {
    const from = performance.now();
    const backEnd = new BackEnd(name, device, processors, command);
    while (!isListening(backEnd.socket)) {
      const { end } = backEnd.process;
      if (end === undefined && performance.now() - from < START_MS) await sleep(1);
      else
        await backEnd.fail(
          end
            ? `ended (${end}) before it listened.`
            : `does not listen on @SOCKET@ after ${START_MS / 1000} s.`,
        );
    }
    backEnd.start = performance.now() - from;
    return backEnd;
  }

  /** Stops it and throws a BenchError: its name, `what`, and what it printed last. */
  async fail(what: string): Promise<never> {
    await this.process.stop();
    throw new BenchError(`${this.name} ${what}\n${this.process.lastWords(this.name)}`);
  }

  /** Resident MiB, `rest` milliseconds later. */
  async resident(rest: number): Promise<number> {
    await sleep(rest);
    if (this.process.end) await this.fail(`ended (${this.process.end}).`);
    return residentOf(this.process.pid);
  }

  stop(): Promise<void> {
    return this.process.stop();
  }
}
