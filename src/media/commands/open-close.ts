/** CMD_OPEN and CMD_CLOSE, and the sessions of one connection between the two (VIRTIO 1.4, Media Device, "Sessions"). */
import { Errno } from '../../errno.js';
import { errorLimited } from '../../log.js';
import type { Account } from '../account.js';
import { drain } from '../events/drain.js';
import { stale } from '../events/eventq.js';
import { closeCommand, openResponse, responseHeader } from '../protocol.js';
import { Session } from '../session.js';
import type { SessionContext } from '../session-context.js';
import { type Command, guard } from './command.js';
import type { FlatCommands } from './flat-commands.js';

export class OpenSessions {
  readonly #sessions = new Map<number, Session>();
  readonly #closing = new Set<Promise<void>>();
  #lastId = 0;

  /** `maxSessions`: files of the node that may be open or not closed yet, those of other connections included. */
  constructor(
    private readonly account: Account,
    private readonly maxSessions: number,
    private readonly flat: FlatCommands,
  ) {}

  /** Number of open sessions. */
  get count(): number {
    return this.#sessions.size;
  }

  /** Number of files that are being closed. */
  get closing(): number {
    return this.#closing.size;
  }

  find(sessionId: number): Session | undefined {
    return this.#sessions.get(sessionId);
  }

  /** Frame plans are made anew. */
  refresh(): void {
    for (const session of this.#sessions.values()) session.sequence.add(async () => undefined);
  }

  /** CMD_OPEN. EMFILE: there is no room for another file, or no connection (`context` is null). Other errnos are open(2)'s. */
  open(command: Command, context: SessionContext | null): void {
    if (!context || this.account.files >= this.maxSessions) return command.answer({ status: Errno.EMFILE });
    const session = new Session(this.#nextId(), context, drain);
    this.#sessions.set(session.id, session);
    this.account.opened(session);
    session.sequence.add(guard(command, () => this.#open(session, command)));
  }

  async #open(session: Session, command: Command): Promise<void> {
    let status: number = Errno.EIO;
    try {
      await this.account.settled();
      status = await session.open();
    } finally {
      if (status !== 0 || command.answered) void this.end(session);
      else this.flat.add(session);
    }
    const opened = openResponse.encode({ status, reserved: 0, sessionId: session.id, reserved2: 0 });
    command.answer(status === 0 ? { status, payload: [opened.subarray(responseHeader.size)] } : { status });
  }

  /** CMD_CLOSE. The driver needs no response. The chain goes back after the file is closed, so the node is free by then. */
  async close(command: Command): Promise<void> {
    const session = this.find(closeCommand.read(command.request).sessionId);
    if (!session) return command.answer({ status: Errno.EBADF });
    await this.end(session);
    await session.quiet(command.remaining, stale.all);
    await session.context.shared.settle(this.count === 0);
    command.answer({ status: 0 });
  }

  /** Ends a session. Resolves when its file is closed or the close has failed. Never rejects. */
  end(session: Session): Promise<void> {
    this.#sessions.delete(session.id);
    this.flat.withdraw(session);
    const closing = this.account
      .closing(session, session.close())
      .catch((error: unknown) => errorLimited('close', 'a file of the node cannot be closed', error))
      .finally(() => {
        this.flat.remove(session);
        this.#closing.delete(closing);
      });
    this.#closing.add(closing);
    return closing;
  }

  endAll(): void {
    for (const session of [...this.#sessions.values()]) void this.end(session);
  }

  /** Resolves when every file of an ended session is closed or its close has failed. Never rejects. */
  async closed(): Promise<void> {
    await Promise.all(this.#closing);
  }

  /** An id from 1 to 2^32 - 1 that no open session has. Ids count up and start again at 1. */
  #nextId(): number {
    do this.#lastId = (this.#lastId % 0xffff_ffff) + 1;
    while (this.#sessions.has(this.#lastId));
    return this.#lastId;
  }
}
