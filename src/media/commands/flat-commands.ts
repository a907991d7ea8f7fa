/**
 * Flat commands: ioctls whose bytes cross without a decision. While the guest sends nothing else, the threads of the
 * commandq run them, and the loop hears of them only when something has gone wrong.
 */
import { warnLimited } from '../../log.js';
import { RingNotice } from '../../native-ring.js';
import { CommandTable } from '../../v4l2/command-table.js';
import { Ioctl, type IoctlRow } from '../../v4l2/ioctls.js';
import type { Notice } from '../../virtio/ring-threads.js';
import { lateQueue } from '../ioctls/buffers.js';
import { ANSWER_DEADLINE_MS, isOpen } from '../policy.js';
import { ioctlCommand } from '../protocol.js';
import type { Session } from '../session.js';
import type { Answer } from './command.js';

/** Ioctls of a session that makes implicit requests: the bridge remembers what they set. */
const REMEMBERED: ReadonlySet<number> = new Set([Ioctl.S_CTRL, Ioctl.S_EXT_CTRLS, Ioctl.S_FMT]);
/** Payloads about which the operator may have decided something. */
const CONTROLS: ReadonlySet<string> = new Set(['query', 'menu', 'control', 'controls']);
const FORMATS: ReadonlySet<string> = new Set(['formats', 'format', 'frames']);

/** The sessions of one device whose flat commands threads may run. */
export class FlatCommands {
  readonly table = new CommandTable();
  /** Until the session is closed: a result may come late. */
  readonly #sessions = new Map<number, Session>();

  /** The session is open. */
  add(session: Session): void {
    const { policy } = session.context;
    const isFree = ({ nr, payload }: IoctlRow): boolean =>
      (isOpen(policy.controls) || !CONTROLS.has(payload)) &&
      (isOpen(policy.formats) || !FORMATS.has(payload)) &&
      (session.requests === null || !REMEMBERED.has(nr)) &&
      (payload !== 'buffer' || nr === Ioctl.QBUF);
    if (session.file.share(this.table, session.id, isFree)) this.#sessions.set(session.id, session);
  }

  /** No command of the session begins on a thread any more. */
  withdraw(session: Session): void {
    this.table.remove(session.id);
  }

  /** The file of the session is closed. */
  remove(session: Session): void {
    this.withdraw(session);
    if (this.#sessions.get(session.id) === session) this.#sessions.delete(session.id);
  }

  /** Whether a thread may run this ioctl of this session. */
  has(sessionId: number, nr: number): boolean {
    if (nr === Ioctl.QBUF) return this.#sessions.get(sessionId)?.plans.isPossible === true;
    return this.table.has(sessionId, nr);
  }

  /** Records what a thread has found out about a session. */
  noticed({ what, session: id, errno, request, payload }: Notice): void {
    if (what === RingNotice.EXPIRED)
      warnLimited('deadline', 'a command was not done within its deadline: answered ETIMEDOUT', {
        ms: ANSWER_DEADLINE_MS,
      });
    const session = this.#sessions.get(id);
    if (!session) return;
    if (what === RingNotice.EXPIRED) session.degrade(true);
    else if (what === RingNotice.FAILED) session.sequence.add(() => session.file.failed(errno));
    else session.cameLate(request, () => lateAnswer(session, request, errno, payload));
  }
}

/** The answer that a thread would have given. */
function lateAnswer(session: Session, request: Buffer, status: number, payload: Buffer): Answer {
  const answer = { status, payload: [payload] };
  const { code } = ioctlCommand.read(request);
  if (code !== Ioctl.QBUF || status !== 0) return answer;
  return { ...answer, ...lateQueue(session, request.subarray(ioctlCommand.size)) };
}
