/** A command in its session's turn: the one way of every ioctl and of MMAP, whether they end in time or late. */
import { Errno } from '../../errno.js';
import { drainEvents } from '../events/drain.js';
import type { Session } from '../session.js';
import type { Answer, Command } from './command.js';

/** How a kind of request is carried out. */
export interface Execution<R> {
  /** The answer to an errno, with the payload that the guest's driver wants with it. */
  readonly refuse: (request: R, errno: number) => Answer;
  /** Puts its effect into the record of the session, also where the command was answered meanwhile. */
  readonly run: (session: Session, request: R) => Promise<Answer>;
}

/** Runs it and answers, in time whatever it does; what comes late is kept for the same request. */
export async function execute<R>(
  session: Session,
  command: Command,
  request: R,
  { refuse, run }: Execution<R>,
): Promise<void> {
  if (command.answered) return;
  if (session.gone) return command.answer(refuse(request, Errno.ENODEV));
  command.onLate(refuse(request, 0).payload ?? [], () => {
    session.degrade(true);
  });
  let answer: Answer;
  try {
    const kept = session.late.isEmpty ? null : await retried(session, command);
    answer = kept ?? (await run(session, request));
    if (answer.status !== 0 && !answer.payload) answer = refuse(request, answer.status);
    if (answer.pages && command.isWritable) answer = (await answer.pages(command)) ?? answer;
  } finally {
    // Also where it throws: a fault of ours is not the device's.
    session.degrade(false);
  }
  if (command.answered) return session.keep(command.request, answer);
  command.answer(answer);
  if (answer.told) await answer.told();
}

/** The result of the same request before. What had to come before its answer comes before it now. */
async function retried(session: Session, command: Command): Promise<Answer | null> {
  const kept = await session.late.take(command);
  if (!kept) return null;
  await drainEvents(session);
  await session.context.events.barrier(command.remaining);
  return kept;
}
