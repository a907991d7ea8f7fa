/**
 * Compares the record of each session with what its driver has: the first rule of docs/protocol.md, "Answered before it
 * was done".
 */
import { Session } from '../../src/media/session.js';
import type { FakeFile } from '../unit/media/fake-node.js';
import type { FakeHost, MoodyFile } from './fake-host.js';

const inOrder = (indices: Iterable<number>): string => [...indices].sort((a, b) => a - b).join(' ');
/** Indices of the existing buffers. A buffer that was removed leaves a gap. */
const indicesOf = ({ buffers }: FakeFile): number[] => buffers.flatMap((_, index) => [index]);

export class Records {
  readonly #files = new Map<Session, MoodyFile>();
  readonly #open = Session.prototype.open;

  /** Records every session that is opened until `close`. */
  constructor(host: FakeHost) {
    const [files, open] = [this.#files, this.#open];
    Session.prototype.open = function (this: Session) {
      const opening = open.call(this);
      files.set(this, host.opened!);
      return opening;
    };
  }

  close(): void {
    Session.prototype.open = this.#open;
  }

  /** Resolves when no session has anything under way. The caller must have released all blocked calls. */
  async settled(): Promise<void> {
    for (const session of this.#files.keys()) await session.sequence.over();
  }

  /** Throws if a session's record is not what its driver has. */
  compare(): void {
    for (const [session, file] of this.#files) {
      if (session.closing) this.#files.delete(session);
      else if (!session.gone)
        for (const type of file.queues.keys()) compareQueue(session, type, file.queue(type));
    }
  }
}

function compareQueue(session: Session, type: number, driver: FakeFile): void {
  const queue = session.queues.get(type);
  if (type === 0 || queue?.failed) return;
  const has = indicesOf(driver);
  const known = [...(queue?.buffers.keys() ?? [])];
  const same =
    inOrder([...(queue?.driverHas ?? []), ...(queue?.abandoned ?? [])]) ===
      inOrder([...driver.queued, ...driver.done]) &&
    known.every((index) => has.includes(index)) &&
    has.length === known.length + (queue?.refused ?? 0) &&
    // After REMOVE_BUFS a queue may stream without buffers.
    (queue?.streaming ?? false) === (driver.streaming && (has.length > 0 || queue !== undefined));
  if (same) return;
  const shown = {
    buffers: known,
    refused: queue?.refused,
    queued: queue?.driverHas,
    abandoned: [...(queue?.abandoned ?? [])],
    streaming: queue?.streaming,
  };
  const own = { buffers: has, queued: driver.queued, done: driver.done, streaming: driver.streaming };
  throw new Error(
    `session ${session.id}, type ${type}: the record is ${JSON.stringify(shown)}, the driver has ${JSON.stringify(own)}`,
  );
}
