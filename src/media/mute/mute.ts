/**
 * Mute: a device whose picture no guest gets. The driver really stops: the camera's light goes off, and nothing is written
 * into memory that a guest can see. Sessions do not notice. The state belongs to the served node, so it outlives VMMs,
 * sessions and the device's plug.
 */
import { errnoName } from '../../errno.js';
import { log } from '../../log.js';
import type { NodeCall } from '../../native.js';
import { encoded } from '../../struct.js';
import { isCapture } from '../../v4l2/buffer-type.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { buffer, Capability, plane, streamType } from '../../v4l2/layout.js';
import { dqbufEvent, Event } from '../protocol.js';
import type { BufferQueue } from '../queues/buffer-queue.js';
import { hostRecord } from '../queues/buffer-record.js';
import { planned } from '../queues/frame-plan.js';
import type { VideoBuffer } from '../queues/video-buffer.js';
import type { Session } from '../session.js';
import { MutedFile, type MuteWith } from './muted-file.js';

export type { MuteWith } from './muted-file.js';

const CAPTURES =
  Capability.VIDEO_CAPTURE |
  Capability.VIDEO_CAPTURE_MPLANE |
  Capability.VBI_CAPTURE |
  Capability.SLICED_VBI_CAPTURE |
  Capability.SDR_CAPTURE |
  Capability.META_CAPTURE;
const JOBS = Capability.VIDEO_M2M | Capability.VIDEO_M2M_MPLANE;

/** Whether a node has something to mute: what it captures by itself. A codec returns what the guest has sent. */
export function isMutable(deviceCaps: number): boolean {
  return (deviceCaps & CAPTURES) !== 0 && (deviceCaps & JOBS) === 0;
}

export class Mute {
  readonly #sessions = new Set<Session>();
  #how: MuteWith | null = null;

  /** `device`: the path of the node, for the log. */
  constructor(private readonly device: string) {}

  get isMuted(): boolean {
    return this.#how !== null;
  }

  /** null: it is not muted. */
  get how(): MuteWith | null {
    return this.#how;
  }

  /**
   * Mutes the device: the guest gets black frames, or none. Sessions that are opened later are muted from the start. Resolves
   * when no driver of a session streams any more, and what the driver wrote into buffers that the guest was not told of is
   * overwritten. A session whose ioctl hangs makes it wait. Never rejects.
   */
  async mute(how: MuteWith): Promise<void> {
    if (this.#how === how) return this.#settle();
    this.#how = how;
    log.info('the device is muted', { device: this.device, with: how });
    await this.#settle();
  }

  /** The guest gets the camera's frames again. Resolves when every session streams as it wants to. Never rejects. */
  async unmute(): Promise<void> {
    if (this.#how !== null) log.info('the device is not muted any more', { device: this.device });
    this.#how = null;
    await this.#settle();
  }

  /** A session exists. Its first task, OPEN, waits in its sequence. */
  joined(session: Session): void {
    this.#sessions.add(session);
    if (this.#how !== null) session.sequence.add(() => this.#match(session));
  }

  left(session: Session): void {
    this.#sessions.delete(session);
  }

  /** Before all that waits in its sequence, each session becomes what the device is. */
  async #settle(): Promise<void> {
    const settled = [...this.#sessions].map(
      (session) =>
        new Promise<void>((resolve) => {
          session.sequence.first(() => this.#match(session).finally(resolve));
        }),
    );
    await Promise.all(settled);
  }

  async #match(session: Session): Promise<void> {
    const { filter } = session.file;
    if (session.closing || session.gone) return;
    const now = filter instanceof MutedFile ? filter : null;
    if (now?.how === (this.#how ?? undefined)) return;
    if (now) await lift(session, now);
    if (this.#how !== null) await begin(session, this.#how);
  }
}

/** Stops the driver. The session's record of its queues stays as it is. */
async function begin(session: Session, how: MuteWith): Promise<void> {
  const run = (call: NodeCall) => session.file.unfiltered(call);
  const muted = new MutedFile(session, run, how);
  session.file.filter = muted;
  await session.rearm();
  const untold = untoldOf(session);
  for (const queue of [...session.queues.values()].filter((each) => each.isCapture)) {
    const { type, driverHas, queued } = queue;
    const held = new Map(
      driverHas.map((index) => [index, queueCall(session, queue, queue.buffers.get(index))]),
    );
    const errno = await run({ kind: 'ioctl', nr: Ioctl.STREAMOFF, payload: streamType.encode({ type }) });
    if (errno !== 0)
      log.warn('the driver of a muted device cannot be stopped', {
        session: session.id,
        error: errnoName(errno),
      });
    await muted.take(type, held, queue.streaming);
    for (const index of new Set([...queued, ...(untold.get(type) ?? [])])) {
      const vb = queue.buffers.get(index);
      if (vb && !(await muted.wipe(queue, vb)))
        log.warn('a buffer of a muted device cannot be overwritten', { session: session.id, index });
    }
  }
}

/** Gives the driver what the guest has queued, and starts it if the guest's stream is on. */
async function lift(session: Session, muted: MutedFile): Promise<void> {
  muted.end();
  session.file.filter = null;
  for (const queue of [...session.queues.values()].filter((each) => each.isCapture)) {
    const { type } = queue;
    const held = muted.held(type);
    const before = queue.stream;
    const taken = new Set<number>();
    for (const index of before.queued) {
      const call = held.get(index);
      const isTaken = call ? (await session.call(call)) === 0 : !held.has(index);
      if (isTaken) taken.add(index);
    }
    session.stopped(queue);
    queue.requeued(before, taken);
    // Those that the driver does not take come back damaged.
    queue.owe(before.queued.filter((index) => !taken.has(index)));
    if (!before.isStreaming) continue;
    queue.restarted(before, (await session.ioctl(Ioctl.STREAMON, streamType.encode({ type }))) !== 0);
  }
  await session.rearm();
}

/** The QBUF that gives the buffer to the driver again; null: there is none. */
function queueCall(session: Session, queue: BufferQueue, vb: VideoBuffer | undefined): NodeCall | null {
  if (!vb) return null;
  // A thread may have queued it.
  if (!planned.has(queue.backing)) return vb.ioctl;
  const record = encoded(buffer, { index: vb.index, type: queue.type });
  const guest = { record, planes: Buffer.alloc(vb.planes.length * plane.size), rest: Buffer.alloc(0) };
  const lengths = vb.planes.map(({ length }) => length);
  const { shared } = session.context;
  const memory = queue.backing === 'userptr' ? vb.planes.map(({ slot }) => shared.memory(slot!)) : null;
  const host = hostRecord(queue, vb, guest, lengths);
  return { kind: 'buffer', nr: Ioctl.QBUF, ...host, ...(memory && { memory }) };
}

/** The indices of buffers whose events wait for a descriptor, by buffer type. */
function untoldOf({ context: { events }, id }: Session): Map<number, number[]> {
  const found = new Map<number, number[]>();
  events.discard(id, (waiting) => {
    if (waiting.readUInt32LE(0) !== Event.DQBUF) return false;
    const { type, index } = buffer.read(waiting, dqbufEvent.offset.buffer);
    if (isCapture(type)) found.set(type, [...(found.get(type) ?? []), index]);
    return false;
  });
  return found;
}
