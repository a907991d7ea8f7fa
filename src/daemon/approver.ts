/**
 * Asks the operator's command (`--approve`) whether a guest may open a node. Exit status 0 is a yes. Everything else is a
 * no: another status, a signal, no answer in time, a command that cannot be run.
 */
import { Worker } from 'node:worker_threads';
import { errorLimited, type Fields, warnLimited } from '../log.js';
import type { Approve } from '../media/approval.js';
import { MAX_APPROVALS } from '../media/policy.js';
import { printable } from '../printable.js';
import { keepDescriptors } from '../privileges.js';
import type { Ask, Ended } from './approval-worker.js';

/** Who asks for what. */
export interface Applicant {
  /** The path of the node, as the operator gave it. */
  readonly device: string;
  /** The driver's name of the device. */
  readonly card: string;
  /** The path of the socket to which the VMM is connected. */
  readonly socket: string;
  /** The process id of the VMM. Absent: it is not known. */
  readonly vmm?: number;
}

/** Variables by which this process speaks to its service manager. The command must not speak for it. */
const PRIVATE = [
  'NOTIFY_SOCKET',
  'WATCHDOG_USEC',
  'WATCHDOG_PID',
  'LISTEN_FDS',
  'LISTEN_PID',
  'LISTEN_FDNAMES',
];

/** The command of one process. */
export class Approver {
  readonly #processes = new Processes();
  /** By device and socket: a device that floods does not keep others from an answer. */
  readonly #desks = new Map<string, Desk>();

  /** `command`: the absolute path of the program, and its arguments. */
  constructor(private readonly command: readonly string[]) {
    keepDescriptors();
  }

  /** The function that asks for one VMM. */
  for(applicant: Applicant): Approve {
    const key = JSON.stringify([applicant.device, applicant.socket]);
    const desk = this.#desks.get(key) ?? new Desk();
    this.#desks.set(key, desk);
    return (session, until, limit) => this.#ask(desk, applicant, session, until, limit);
  }

  /** Ends the thread. Resolves when every process that still runs has been told to end. */
  async close(): Promise<void> {
    await this.#processes.close();
  }

  async #ask(
    desk: Desk,
    applicant: Applicant,
    session: number,
    until: AbortSignal,
    limit: number,
  ): Promise<boolean> {
    const over = AbortSignal.any([until, AbortSignal.timeout(limit)]);
    const refuse = (why: string): false => {
      // If nobody waits for the answer, it is no refusal.
      if (!until.aborted) report(applicant, session, why);
      return false;
    };
    if (!(await desk.turn(over))) return refuse('too many are asked about at once');
    const environment = environmentOf(applicant, session);
    const { answer, ended } = this.#processes.run({ words: this.command, environment }, over);
    void ended.then(() => desk.leave());
    const outcome = await answer;
    if (outcome === null) return refuse(`no answer within ${Math.round(limit)} ms`);
    if (outcome.error !== undefined) return refuse(`the command cannot be run: ${outcome.error}`);
    if (outcome.code === null) return refuse('the command was ended by a signal');
    return outcome.code === 0 || refuse(`the command said no: exit status ${outcome.code}`);
  }
}

function report({ device, socket, vmm }: Applicant, session: number, why: string): void {
  const fields: Fields = { device, socket, ...(vmm !== undefined && { vmm }), session };
  warnLimited(`approve ${device} ${socket}`, `an OPEN was not approved: ${why}`, fields);
}

/** The environment of this process, and who asks. */
function environmentOf({ device, card, socket, vmm }: Applicant, session: number): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !PRIVATE.includes(name));
  return {
    ...Object.fromEntries(own),
    VMB_DEVICE: device,
    VMB_CARD: printable(card),
    VMB_SOCKET: socket,
    VMB_VMM_PID: vmm === undefined ? '' : String(vmm),
    VMB_SESSION: String(session),
  };
}

/** At most MAX_APPROVALS at a time; the others wait in the order in which they came. */
class Desk {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** Resolves to false when `over` is aborted before it is this one's turn. */
  turn(over: AbortSignal): Promise<boolean> {
    if (over.aborted) return Promise.resolve(false);
    if (this.#running < MAX_APPROVALS) {
      this.#running++;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const next = (): void => {
        over.removeEventListener('abort', gone);
        resolve(true);
      };
      const gone = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(next), 1);
        resolve(false);
      };
      over.addEventListener('abort', gone, { once: true });
      this.#waiting.push(next);
    });
  }

  /** The process has ended. */
  leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#running--;
  }
}

/** The processes of the command, which the worker starts and ends. */
class Processes {
  #worker: Worker | null = null;
  #lastId = 0;
  readonly #running = new Map<number, (ended: Ended) => void>();

  /**
   * Starts a process. `answer`: how it has ended; null: `over` was aborted before, and the process is killed. `ended`:
   * resolves when there is no process any more.
   */
  run(what: Omit<Ask, 'id'>, over: AbortSignal): { answer: Promise<Ended | null>; ended: Promise<unknown> } {
    const id = ++this.#lastId;
    const ended = new Promise<Ended>((resolve) => {
      this.#running.set(id, resolve);
    });
    const aborted = new Promise<null>((resolve) => {
      const kill = (): void => {
        this.#worker?.postMessage({ id } satisfies Ask);
        resolve(null);
      };
      over.addEventListener('abort', kill, { once: true });
      void ended.then(() => over.removeEventListener('abort', kill));
    });
    this.#tell({ id, ...what });
    return { answer: Promise.race([ended, aborted]), ended };
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    const left = [...this.#running.keys()];
    for (const id of left) worker?.postMessage({ id } satisfies Ask);
    // The processes are gone when the worker has said so.
    while (this.#running.size > 0 && this.#worker) await new Promise((resolve) => setTimeout(resolve, 5));
    this.#worker = null;
    await worker?.terminate();
  }

  #tell(ask: Ask): void {
    try {
      this.#worker ??= this.#start();
      this.#worker.postMessage(ask);
    } catch (error) {
      this.#failed(error);
    }
  }

  #start(): Worker {
    const worker = new Worker(new URL('./approval-worker.js', import.meta.url));
    worker.on('message', (ended: Ended) => this.#ended(ended));
    worker.on('error', (error) => this.#failed(error));
    // Nothing that it does keeps the process alive.
    worker.unref();
    return worker;
  }

  #ended(ended: Ended): void {
    this.#running.get(ended.id)?.(ended);
    this.#running.delete(ended.id);
  }

  /** The thread has ended: every question is answered with no. The next one starts it anew. */
  #failed(error: unknown): void {
    this.#worker = null;
    errorLimited('approver', 'the thread that runs the approval command has failed', error);
    for (const id of [...this.#running.keys()])
      this.#ended({ id, code: null, error: 'its thread has failed' });
  }
}
