/** Runs one command as a task of its session. Every ioctl and MMAP goes through here, in time or late. */
import { Errno } from '../../errno.js';
import { drainEvents } from '../events/drain.js';
import type { Session } from '../session.js';
import type { Answer, Command } from './command.js';

/** How requests of one kind are run. */
export interface Execution<R> {
  /** The answer for an errno, with the payload that the guest's driver expects. */
  readonly refuse: (request: R, errno: number) => Answer;
  /** Runs the request and records its effect in the session, even if the command was answered meanwhile. */
  readonly run: (session: Session, request: R) => Promise<Answer>;
}

/**
 * Runs a request and answers its command. If the deadline passes first, the command is answered ETIMEDOUT, the
 * session is degraded until the request ends, and the result is kept for the same request. ENODEV: the session is
 * gone. Throws what `run` throws.
 */
export async function execute<R>(
  session: Session,
  command: Command,
  request: R,
  { refuse, run }: Execution<R>,
): Promise<void> {
  if (command.answered) return;
  if (session.gone) return command.answer(refuse(request, Errno.ENODEV));
  command.onLate(
    (errno) => refuse(request, errno),
    () => session.degrade(true),
  );
  let answer: Answer;
  try {
    const kept = session.late.isEmpty ? null : await retried(session, command);
    answer = kept ?? (await run(session, request));
    if (answer.status !== 0 && !answer.payload) answer = refuse(request, answer.status);
    if (answer.pages && command.isWritable) answer = (await answer.pages(command)) ?? answer;
  } finally {
    // Also after an exception: a bug of the bridge does not mean that the device hangs.
    session.degrade(false);
  }
  if (command.answered) return session.keep(command.request, answer);
  command.answer(answer);
  if (answer.announced) await answer.announced();
}

/** The late result, if this is the same request again. Events that must come before the answer are sent first. */
async function retried(session: Session, command: Command): Promise<Answer | null> {
  const kept = await session.late.take(command);
  if (!kept) return null;
  await drainEvents(session);
  await session.context.events.barrier(command.remaining);
  return kept;
}
