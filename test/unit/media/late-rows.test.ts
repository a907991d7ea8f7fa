/**
 * Each row of the ioctl table gets an early answer: by a pause (EINTR) and by the deadline (ETIMEDOUT). The ioctl then
 * succeeds or fails, and the guest repeats the request or sends another one. A new row is tested without a change here.
 */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import { ObjectTable } from '../../../src/media/memory/object-table.js';
import { type NodeCall, native } from '../../../src/native.js';
import { ioctls } from '../../../src/v4l2/ioctls.js';
import { buffer, type Reply, turns, u32 } from './bench.js';
import { startClock, stopClock } from './clock.js';
import { FakeTransport } from './fake-transport.js';
import { type Interruption, LateStage } from './support/late-stage.js';

const EIO = 5;
const [REQBUFS, QUERYBUF, QBUF, EXPBUF, STREAMON, STREAMOFF] = [8, 9, 15, 16, 18, 19];
const [G_EXT_CTRLS, S_EXT_CTRLS, TRY_EXT_CTRLS, SUBSCRIBE, UNSUBSCRIBE] = [71, 72, 73, 90, 91];
const [CREATE_BUFS, PREPARE_BUF, G_STD, G_INPUT, REMOVE_BUFS] = [92, 93, 23, 38, 104];
const [ALLOC, QUEUE, REINIT] = [192, 193, 194];
const [MMAP, USERPTR, DMABUF] = [1, 2, 4];
const PAGES = 0x10_0000;

/** One use of a row. */
interface Case {
  readonly name: string;
  readonly nr: number;
  readonly memory?: number;
  /** V4L2_MEMORY_* that the host's driver accepts. */
  readonly host?: readonly number[];
  /** Commands that run before, on a session with two buffers, one of them queued. */
  readonly prepare?: (stage: LateStage) => Promise<unknown>;
  readonly payload?: (stage: LateStage) => Buffer;
  readonly calls?: (call: NodeCall) => boolean;
}

const bufferRecord = (index: number, memory: number): Buffer => {
  const record = buffer(index);
  record.writeUInt32LE(memory, 60);
  record.writeUInt32LE(1000, 72);
  return record;
};
const objects = new WeakMap<LateStage, Uint8Array>();
const objectOf = (stage: LateStage): Uint8Array => objects.get(stage)!;
const ofBuffer = (index: number, memory: number) => (stage: LateStage) => {
  const { commands } = stage.bench;
  const entry = () => u32(commands.put(PAGES + 4096 * index, Buffer.alloc(1000)), 0, 1000, 0);
  const behind = memory === USERPTR ? entry() : memory === DMABUF ? objectOf(stage) : Buffer.alloc(0);
  return Buffer.concat([bufferRecord(index, memory), behind]);
};
const createRecord = (): Buffer => {
  const record = Buffer.alloc(256);
  record.set(u32(0, 1, MMAP, 0, 1));
  record.writeUInt32LE(1000, 16 + 8 + 20);
  return record;
};
const on = (stage: LateStage) => stage.bench.tell(stage.session, STREAMON, u32(1));
const kindIs = (kind: NodeCall['kind']) => (call: NodeCall) => call.kind === kind;
const controls = Buffer.concat([u32(0, 1, 0, 0, 0, 0, 5, 6), u32(0x0098_0900, 0, 0, 7, 8)]);

const memories = [
  { name: 'MMAP', memory: MMAP, host: [MMAP, USERPTR] },
  { name: 'MMAP, copied', memory: MMAP, host: [MMAP] },
  { name: 'SHARED_PAGES, stitched', memory: USERPTR, host: [MMAP, USERPTR] },
  { name: 'SHARED_PAGES, carried', memory: USERPTR, host: [MMAP] },
  { name: 'OBJECT', memory: DMABUF, host: [MMAP, DMABUF] },
] as const;

const handle = (stage: LateStage) => stage.bench.command(stage.request(ALLOC, Buffer.alloc(0)), 12);
/** Rows that may be answered without another ioctl: after the first QBUF, the driver already has the buffer. */
const repeats: ReadonlySet<number> = new Set([QBUF]);

/** Payloads and preparations of rows that need them. All other rows get zeros, and the node accepts everything. */
const kinds: Readonly<Record<number, readonly Omit<Case, 'nr'>[]>> = {
  [REQBUFS]: [
    { name: 'two', payload: () => u32(2, 1, MMAP, 0, 0) },
    { name: 'none', payload: () => u32(0, 1, MMAP, 0, 0) },
  ],
  [CREATE_BUFS]: [
    { name: 'idle', payload: createRecord },
    { name: 'streaming', payload: createRecord, prepare: on },
  ],
  [QUERYBUF]: [{ name: 'MMAP', payload: ofBuffer(0, MMAP) }],
  [QBUF]: memories.flatMap(({ name, ...memory }) => [
    { name: `${name}, idle`, ...memory, payload: ofBuffer(1, memory.memory) },
    { name: `${name}, streaming`, ...memory, payload: ofBuffer(1, memory.memory), prepare: on },
  ]),
  [PREPARE_BUF]: memories.map(({ name, ...memory }) => ({
    name,
    ...memory,
    payload: ofBuffer(1, memory.memory),
  })),
  [EXPBUF]: [{ name: 'an object', payload: () => Buffer.concat([u32(1), Buffer.alloc(60)]) }],
  [STREAMON]: [
    { name: 'idle', payload: () => u32(1) },
    { name: 'streaming', payload: () => u32(1), prepare: on },
  ],
  [STREAMOFF]: [
    { name: 'idle', payload: () => u32(1) },
    { name: 'streaming', payload: () => u32(1), prepare: on },
  ],
  [SUBSCRIBE]: [{ name: 'a control', payload: () => Buffer.concat([u32(3, 7, 1), Buffer.alloc(20)]) }],
  [UNSUBSCRIBE]: [{ name: 'all', payload: () => Buffer.alloc(32) }],
  [REMOVE_BUFS]: [{ name: 'one', payload: () => Buffer.concat([u32(1, 1, 1), Buffer.alloc(52)]) }],
  ...Object.fromEntries(
    [G_EXT_CTRLS, S_EXT_CTRLS, TRY_EXT_CTRLS].map((nr) => [nr, [{ name: 'one', payload: () => controls }]]),
  ),
  [ALLOC]: [{ name: 'a handle', calls: kindIs('allocateRequest') }],
  [QUEUE]: [{ name: 'a handle', calls: kindIs('queueRequest'), prepare: handle, payload: () => u32(1) }],
  [REINIT]: [{ name: 'a handle', calls: kindIs('reinitRequest'), prepare: handle, payload: () => u32(1) }],
};

/** Rows that are not answered with the first ioctl's result, and why. The table in docs/protocol.md has them too. */
const doneAgain: Readonly<Record<number, string>> = {
  [ALLOC]: 'nobody knows the handle of one that came late: it is closed, and another is made in no time',
};

const requestRows = [ALLOC, QUEUE, REINIT].map((nr) => ({
  nr,
  name: `REQUEST ${nr}`,
  size: 4,
  direction: 'w',
}));
const cases: Case[] = [...ioctls.values(), ...requestRows].flatMap(({ nr, name }) =>
  (kinds[nr] ?? [{ name: '' }]).map((kind) => ({ ...kind, nr, name: `${name} ${kind.name}`.trim() })),
);

async function open({ memory = MMAP, host = [MMAP, USERPTR], nr, prepare }: Case): Promise<LateStage> {
  const table = new ObjectTable();
  const stage = await LateStage.open(
    {
      sharedPages: true,
      requests: { mode: 'handles', media: { fd: 77 } },
      ...((memory === DMABUF || nr === EXPBUF) && { objects: table }),
    },
    new FakeTransport(1 << 24, nr === EXPBUF ? 'direct' : 'arena', true),
  );
  objects.set(stage, table.add(native.memoryFile('an object, say', 4096)));
  const { node } = stage.bench;
  node.memories = [...host];
  node.ioctls.set(EXPBUF, (payload) => {
    payload.writeInt32LE(native.memoryFile('a dmabuf, say', 4096), 16);
    return 0;
  });
  node.ioctls.set(REMOVE_BUFS, () => {
    node.file.buffers.length = 1;
    return 0;
  });
  const { session } = stage;
  assert.equal((await stage.bench.ioctl(session, REQBUFS, u32(2, 1, memory, 0, 0))).status, 0);
  assert.equal((await stage.bench.command(stage.request(QBUF, ofBuffer(0, memory)(stage)), 200)).status, 0);
  await prepare?.(stage);
  return stage;
}

/** The request of a case. Makes its ioctl slow. */
function requestOf(stage: LateStage, { nr, payload, calls }: Case): { request: Buffer; room: number } {
  const given = payload?.(stage) ?? Buffer.alloc(ioctls.get(nr)?.size ?? 4);
  stage.slow(calls ?? ((call) => 'nr' in call && call.nr === nr));
  return { request: stage.request(nr, given), room: 8 + given.length + 16 };
}

/** The answer if the ioctl is not interrupted. */
async function inTime(each: Case, errno: number | null) {
  const stage = await open(each);
  const { request, room } = requestOf(stage, each);
  stage.errno = errno;
  const answer = shown(stage, await stage.bench.command(request, room));
  stage.close();
  return answer;
}

/** An answer in a form that can be compared. UUIDs are replaced, because they are random. */
function shown(stage: LateStage, { status, payload }: Reply) {
  const { planes } = stage.record.queues.get(1)?.buffers.get(0) ?? { planes: [] };
  const names = [objectOf(stage), planes[0]?.exported?.uuid].flatMap((uuid) => (uuid ? [uuid] : []));
  const hex = payload.toString('hex');
  return {
    status,
    payload: names.reduce((text, uuid) => text.replaceAll(Buffer.from(uuid).toString('hex'), 'UUID'), hex),
  };
}

/** Checks that each frame of the driver causes one event, and that there is no other event. */
async function frames(stage: LateStage): Promise<void> {
  const { bench, record } = stage;
  await turns();
  bench.takeEvents();
  const { file } = bench.node;
  if (!file.streaming) return;
  const wanted = [...(record.queues.get(1)?.wanted ?? [])];
  while (file.queued.length > 0) file.frame();
  await turns(20);
  const DQBUF = 1;
  const events = bench.takeEvents().filter((event) => event.readUInt32LE(0) === DQBUF);
  assert.deepEqual(events.map((event) => event.readUInt32LE(8)).sort(), wanted.sort());
}

describe('a command that is answered before its ioctl ends', function () {
  this.timeout(10_000);
  let combinations = 0;
  let stage: LateStage;
  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
    console.log(`      ${combinations} combinations of ${ioctls.size + requestRows.length} rows`);
  });
  beforeEach(stopClock);
  afterEach(() => {
    stage.close();
    startClock();
  });

  const late = async (each: Case, by: Interruption, errno: number | null) => {
    combinations++;
    stage = await open(each);
    const { request, room } = requestOf(stage, each);
    stage.errno = errno;
    await stage.interrupted(request, room, by);
    stage.errno = null;
    // The guest gives its events back, because answers wait for that.
    stage.bench.takeEvents();
    return { request, room, executed: stage.executed };
  };

  for (const each of cases)
    for (const by of ['EINTR', 'ETIMEDOUT'] as const)
      for (const errno of [null, EIO]) {
        const outcome = `${each.name}: ${by}, then ${errno ? 'EIO' : 'success'}`;
        const again = errno === null ? doneAgain[each.nr] : undefined;

        it(`${outcome}; the same again is ${again ? 'done again' : 'answered by it'}`, async () => {
          const expected = again ? null : await inTime(each, errno);
          const { request, room, executed } = await late(each, by, errno);
          const answer = shown(stage, await stage.bench.command(request, room));
          assert.equal(stage.executed, executed + (again ? 1 : 0), 'ioctls');
          if (expected) assert.deepEqual(answer, expected);
          else assert.equal(answer.status, 0);
          await turns();
          stage.compare();
          await frames(stage);
        });

        it(`${outcome}; something else drops it`, async () => {
          const { request, room, executed } = await late(each, by, errno);
          const other = each.nr === G_INPUT ? G_STD : G_INPUT;
          assert.equal((await stage.bench.ioctl(stage.session, other, Buffer.alloc(8))).status, 0);
          stage.compare();
          const { status } = await stage.bench.command(request, room);
          assert.ok(stage.executed > executed || repeats.has(each.nr), 'it is an ioctl of its own');
          assert.ok(status === 0 || errno === null, `${status}`);
          await turns();
          stage.compare();
          await frames(stage);
        });
      }
});
