/**
 * The threads of a commandq (addon/ring_threads.h). The loop lends them the ring. They give it back when they find a
 * chain that is not a flat command of an idle session.
 */
import { warnLimited } from '../log.js';
import type { NativeCommandTable, NativeRing, RingNotice } from '../native-ring.js';

/** How the driver rings the device, and is rung. */
export interface Doorbells {
  /** Descriptors. `call`: -1: there is none. */
  readonly kick: number;
  readonly call: number;
  /** Whether the loop waits for the kick. */
  readonly watch: (isWanted: boolean) => void;
  /** The chains are the loop's to take, as if the driver had kicked. */
  readonly kicked: () => void;
  /** Runs what a thread has caused. It must not throw. */
  readonly guard: (run: () => void) => void;
}

/** Milliseconds, from the arrival of a command. */
export interface AnswerTimes {
  /** The command is answered ETIMEDOUT. */
  readonly deadline: number;
  /** The answer is no longer written. */
  readonly lastWrite: number;
  /** The chain is not given back any more. */
  readonly guestTimeout: number;
}

/** What a thread tells of a session. */
export interface Notice {
  readonly what: (typeof RingNotice)[keyof typeof RingNotice];
  readonly session: number;
  readonly errno: number;
  /** LATE: the command as the guest sent it, and what follows the response header. */
  readonly request: Buffer;
  readonly payload: Buffer;
}

export class RingThreads {
  #isLent = false;
  #isServing = false;

  constructor(
    private readonly ring: NativeRing,
    private readonly doorbells: Doorbells,
  ) {}

  /**
   * `threads`: the last of them runs no command. `noticed` is also called after the ring has stopped, for ioctls that end
   * later.
   */
  serve(
    table: NativeCommandTable,
    times: AnswerTimes,
    threads: number,
    noticed: (notice: Notice) => void,
  ): void {
    const woken = (): void => this.doorbells.guard(() => this.#woken(noticed));
    const { deadline, lastWrite, guestTimeout } = times;
    this.ring.serve(table, this.doorbells.kick, deadline, lastWrite, guestTimeout, threads, woken);
    this.#isServing = true;
  }

  /** Whether the threads take the chains. */
  get isLent(): boolean {
    return this.#isLent;
  }

  /** The threads take the chains from now on. */
  lend(): void {
    if (!this.#isServing || this.#isLent) return;
    this.doorbells.watch(false);
    this.#isLent = true;
    try {
      this.ring.lend();
    } catch (error) {
      warnLimited('ring-threads', 'no thread can be started for a commandq', { error: String(error) });
      this.reclaim();
    }
  }

  /** The loop takes the chains from now on. */
  reclaim(): void {
    if (!this.#isLent) return;
    this.#isLent = false;
    this.ring.reclaim();
    this.doorbells.watch(true);
  }

  /** Notices wait, or the threads have given the ring up. */
  #woken(noticed: (notice: Notice) => void): void {
    for (const notice of this.#notices()) noticed(notice);
    if (!this.#isLent || this.ring.isLent()) return;
    this.reclaim();
    this.doorbells.kicked();
  }

  setKick(fd: number): void {
    this.ring.setKick(fd);
  }

  /** Answers every command that a thread runs. The result of its ioctl is a notice. */
  interrupt(errno: number): void {
    this.ring.interrupt(errno);
  }

  *#notices(): Generator<Notice> {
    for (let notice = this.ring.takeNotice(); notice; notice = this.ring.takeNotice()) {
      const [what, session, errno, request, payload] = notice;
      yield { what: what as Notice['what'], session, errno, request, payload };
    }
  }
}
