/** A command in its session's turn: the one way of every ioctl and of MMAP, whether they end in time or late. */
import { Errno } from '../errno.js';
import type { Answer, Command } from './command.js';
import { drainEvents } from './drain.js';
import type { Session } from './session.js';

/** What a command does, and how it is refused. */
export interface Work {
  /** The answer to an errno, with the payload that the guest's driver wants with it. */
  refuse(errno: number): Answer;
  /** Puts its effect into the record of the session, also where the command was answered meanwhile. */
  run(): Promise<Answer>;
}

/** Runs it and answers, in time whatever it does; what comes late is kept for the same request. */
export async function inTurn(session: Session, command: Command, work: Work): Promise<void> {
  if (command.answered) return;
  if (session.gone) return command.answer(work.refuse(Errno.ENODEV));
  command.onLate(work.refuse(0).payload ?? [], () => {
    session.degraded = true;
  });
  const { request } = command;
  const answer = await resultOf(session, command, work);
  if (command.answered) return session.keep(request, answer);
  command.answer(answer);
  if (answer.told) await answer.told();
}

async function resultOf(session: Session, command: Command, work: Work): Promise<Answer> {
  try {
    const kept = session.late.isEmpty ? null : await retried(session, command);
    const result = kept ?? (await work.run());
    return result.status !== 0 && !result.payload ? work.refuse(result.status) : result;
  } finally {
    // Also where it throws: a fault of ours is not the device's.
    session.degraded = false;
  }
}

/** The result of the same request before. What had to come before its answer comes before it now. */
async function retried(session: Session, command: Command): Promise<Answer | null> {
  const kept = await session.late.take(command.request);
  if (!kept) return null;
  await drainEvents(session);
  await session.context.events.barrier(command.remaining);
  return kept;
}
