/** What a guest has learnt from the answers that it got. A fuzzer without it sends only requests that fail early. */
import type { Random } from './random.js';

/** What is known about one session. */
export interface KnownSession {
  readonly id: number;
  /** V4L2_MEMORY_*, buffers and planes of each queue, by buffer type. */
  readonly queues: Map<number, { memory: number; count: number; planes: number; length: number }>;
  readonly handles: number[];
}

const QUERYCTRL = 36;
const QUERY_EXT_CTRL = 103;
const MOST = 64;

export class Knowledge {
  readonly sessions: KnownSession[] = [];
  /** Offsets for MMAP, addresses for MUNMAP, UUIDs of objects. */
  readonly mmapOffsets: number[] = [];
  readonly addresses: number[] = [];
  readonly uuids: Buffer[] = [];
  readonly controls: number[] = [
    0x0098_0900, 0x0098_0905, 0x0098_f900, 0x0098_f905, 0x0098_f90a, 0x0098_f90d,
  ];
  /** The last payload that each ioctl was answered with, by ioctl number. */
  readonly answers = new Map<number, Buffer>();

  constructor(private readonly random: Random) {}

  /** One of the sessions, or a number that may belong to none. */
  session(): KnownSession {
    if (this.sessions.length > 0 && !this.random.chance(0.03)) return this.random.pick(this.sessions);
    return { id: this.random.edge(), queues: new Map(), handles: [] };
  }

  opened(id: number): void {
    this.sessions.push({ id, queues: new Map(), handles: [] });
  }

  closed(id: number): void {
    const at = this.sessions.findIndex((session) => session.id === id);
    if (at >= 0) this.sessions.splice(at, 1);
  }

  forgetSessions(): void {
    this.sessions.length = 0;
    this.addresses.length = 0;
  }

  /** Learns from an answer. `answer`: the bytes after the response header of an ioctl that succeeded. */
  learn(session: KnownSession, nr: number, answer: Buffer): void {
    if (answer.length > 0) this.answers.set(nr, Buffer.from(answer));
    learners[nr]?.(this, session, answer);
  }

  remember<T>(list: T[], value: T): void {
    if (list.includes(value)) return;
    list.push(value);
    if (list.length > MOST) list.shift();
  }
}

type Learner = (knowledge: Knowledge, session: KnownSession, answer: Buffer) => void;

/** By ioctl number. The offsets are those of <linux/videodev2.h>. */
const learners: Readonly<Record<number, Learner>> = {
  // REQBUFS: count, type, memory.
  8: (_, { queues }, answer) => {
    const [count, type, memory] = [0, 4, 8].map((at) => answer.readUInt32LE(at)) as [number, number, number];
    if (count > 0) queues.set(type, { memory, count, planes: 1, length: 0 });
    else queues.delete(type);
  },
  // QUERYBUF: index, type; at 60 memory, at 64 the offset, at 72 the length or the number of planes.
  9: (knowledge, { queues }, answer) => {
    const queue = queues.get(answer.readUInt32LE(4));
    const planes = (answer.length - 88) >> 6;
    if (planes === 0) knowledge.remember(knowledge.mmapOffsets, answer.readUInt32LE(64));
    for (let plane = 0; plane < planes; plane++)
      knowledge.remember(knowledge.mmapOffsets, answer.readUInt32LE(88 + 64 * plane + 8));
    if (!queue) return;
    queue.planes = Math.max(1, planes);
    queue.length = answer.readUInt32LE(planes > 0 ? 88 + 4 : 72);
  },
  // EXPBUF: the UUID follows.
  16: ({ uuids }, _, answer) => {
    if (answer.length === 80) uuids.push(Buffer.from(answer.subarray(64)));
    if (uuids.length > MOST) uuids.shift();
  },
  [QUERYCTRL]: (knowledge, _, answer) => knowledge.remember(knowledge.controls, answer.readUInt32LE(0)),
  [QUERY_EXT_CTRL]: (knowledge, _, answer) => knowledge.remember(knowledge.controls, answer.readUInt32LE(0)),
  // CREATE_BUFS: index, count, memory, and the format's type.
  92: (_, { queues }, answer) => {
    const [index, count, memory, type] = [0, 4, 8, 16].map((at) => answer.readUInt32LE(at));
    const old = queues.get(type!);
    queues.set(type!, { planes: 1, length: 0, ...old, memory: memory!, count: index! + count! });
  },
  // REQUEST_ALLOC: a handle.
  192: (knowledge, { handles }, answer) => knowledge.remember(handles, answer.readUInt32LE(0)),
};
