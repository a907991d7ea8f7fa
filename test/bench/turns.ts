/**
 * The longest turn of the loop with the most expensive requests that a guest may send:
 * `node --single-threaded-gc dist/test/bench/turns.js`. Three runs of each. Printed are milliseconds of wall-clock
 * time, and in brackets the parts of them that V8's garbage collector took and that the kernel gave the processor to
 * others. The node is a fake; rings, guest memory and mappings are real.
 */
import { openSync, readSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { log } from '../../src/log.js';
import { MediaDevice } from '../../src/media/device.js';
import { native } from '../../src/native.js';
import { u32 } from '../unit/media/bench.js';
import { FakeNode } from '../unit/media/fake-node.js';
import { FakeTransport } from '../unit/media/fake-transport.js';
import { BUFFERS, GUEST, Bench as Ring, USER } from '../unit/virtio/bench.js';
import { WRITE } from '../unit/virtio/driver.js';

const MIB = 1 << 20;
const RING = 4096;
const INDIRECT = 4;
/** Memory after that of the rings that neither the guest nor the bridge has touched yet. */
const FRESH = { address: 0x1_0000_0000, bytes: 512 * MIB };
const ANSWER = 0x20_0000;
const USERPTR = 2;
/** Until what a run leaves behind has been cleaned up. */
const SETTLED_MS = 200;

/** The longest turn of a measurement, in milliseconds. */
interface Longest {
  readonly clock: number;
  /** The part of `clock` that V8's garbage collector took. */
  readonly collector: number;
  /** The part of `clock` in which the loop was ready to run and had no processor. */
  readonly delay: number;
}

const schedstat = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
const text = Buffer.alloc(80);
/** Milliseconds that the loop's thread has waited for a processor (Documentation/scheduler/sched-stats.rst). */
function runDelay(): number {
  const length = readSync(schedstat, text, 0, text.length, 0);
  return Number(text.toString('latin1', 0, length).split(' ')[1]) / 1e6;
}

/** Runs of the garbage collector: start and duration in milliseconds. */
const collections: { startTime: number; duration: number }[] = [];
new PerformanceObserver((list) => collections.push(...list.getEntries())).observe({ entryTypes: ['gc'] });

setFlagsFromString('--expose-gc');
/** Collects the garbage of the set-up, so that the collector's part is what the requests cost. */
const collectGarbage = runInNewContext('gc') as () => void;

/** The longest time between two turns of the loop, from `begin` until `isOver` is true. */
async function watch(begin: () => void, isOver: () => boolean): Promise<Longest> {
  let longest = { from: 0, to: 0, delay: 0 };
  let waited = runDelay();
  let from = performance.now();
  begin();
  do {
    await new Promise(setImmediate);
    const to = performance.now();
    const now = runDelay();
    if (to - from > longest.to - longest.from) longest = { from, to, delay: now - waited };
    waited = now;
    from = performance.now();
  } while (!isOver());
  // The performance entries of the collector arrive a little later.
  await new Promise((resolve) => setTimeout(resolve, 20));
  const within = collections.filter(({ startTime }) => startTime >= longest.from && startTime < longest.to);
  const collector = within.reduce((sum, { duration }) => sum + duration, 0);
  return { clock: longest.to - longest.from, collector, delay: longest.delay };
}

class Stage {
  readonly commands = new Ring({ size: RING });
  readonly events = new Ring({ size: 64 });
  readonly node = new FakeNode();
  readonly device: MediaDevice;

  constructor() {
    const transport = new FakeTransport();
    const description = { driver: '', card: '', busInfo: '', deviceCaps: 0x0420_0001, deviceType: 0 };
    const options = { sharedMemorySize: transport.size, mmap: 'auto', sharedPages: true } as const;
    this.device = new MediaDevice(this.node.host, description, options);
    const { memory } = this.commands;
    const region = { guestAddress: FRESH.address, size: FRESH.bytes, userAddress: USER * 2, fileOffset: 0 };
    memory.add(region, native.memoryFile('untouched', FRESH.bytes));
    this.device.connected(memory, transport);
    this.device.queueStarted(0, this.commands.queue());
    this.device.queueStarted(1, this.events.queue());
    for (let slot = 0; slot < 64; slot++) {
      const address = this.events.put(1024 * slot, Buffer.alloc(1024));
      this.events.ring.describe(slot, { address, length: 608, flags: WRITE });
      this.events.ring.offer(slot);
    }
    this.device.queueKicked(1);
  }

  async ask(request: Uint8Array, room: number): Promise<Buffer> {
    const address = this.commands.put(0, request);
    this.commands.ring.chain(0, [{ address, length: request.length }], [this.answer(room)]);
    await this.longest([0]);
    return this.commands.seen(ANSWER, room);
  }

  answer(length: number) {
    return { address: GUEST + BUFFERS + ANSWER, length };
  }

  async open(): Promise<number> {
    return (await this.ask(u32(1, 0), 16)).readUInt32LE(8);
  }

  /** Makes chains available. Returns the longest time between two turns of the loop until all have come back. */
  async longest(heads: readonly number[]): Promise<Longest> {
    const { ring } = this.commands;
    const before = ring.usedIndex;
    ring.offer(...heads);
    await new Promise(setImmediate);
    collectGarbage();
    return watch(
      () => setImmediate(() => this.device.queueKicked(0)),
      () => ((ring.usedIndex - before) & 0xffff) >= heads.length,
    );
  }

  close(): void {
    for (const index of [0, 1]) this.device.queueStopped(index);
    this.device.disconnected();
    this.commands.close();
    this.events.close();
  }
}

/** `head`, followed by SG entries up to a total of 1 MiB. */
function longList(head: Uint8Array, entry: (index: number) => number): Buffer {
  const count = Math.floor((MIB - head.length) / 16);
  const request = Buffer.alloc(head.length + 16 * count);
  request.set(head);
  for (let n = 0; n < count; n++) {
    request.writeBigUInt64LE(BigInt(entry(n)), head.length + 16 * n);
    request.writeUInt32LE(1, head.length + 16 * n + 8);
  }
  return request;
}

const here = () => GUEST + BUFFERS + 0x30_0000;
const untouched = (n: number) => FRESH.address + 4096 * (2 * (n % 65_000) + 1);
const sMany = (count: number) => u32(0, count, 0, 0, 0, 0, 0, 0);
const sPayload = (size: number) => Buffer.concat([sMany(1), u32(0x0098_0900, size, 0, 0, 0)]);

/** Makes the same request available 64 times. */
async function sixtyFour(stage: Stage, request: Buffer, room: number): Promise<Longest> {
  const { ring } = stage.commands;
  const address = stage.commands.put(0, request);
  const heads = Array.from({ length: 64 }, (_, n) => 100 + 2 * n);
  for (const head of heads) ring.chain(head, [{ address, length: request.length }], [stage.answer(room)]);
  return stage.longest(heads);
}

async function pages(stage: Stage, entry: (n: number) => number, length: number): Promise<Longest> {
  const session = await stage.open();
  await stage.ask(Buffer.concat([u32(3, 0, session, 8), u32(8, 1, USERPTR, 0, 0)]), 28);
  const record = Buffer.alloc(88);
  record.set(u32(0, 1));
  record.writeUInt32LE(USERPTR, 60);
  record.writeUInt32LE(length, 72);
  return sixtyFour(stage, longList(Buffer.concat([u32(3, 0, session, 15), record]), entry), 96);
}

async function controls(
  stage: Stage,
  entry: (n: number) => number,
  size: number,
  sessions = 1,
): Promise<Longest> {
  stage.node.traits.set(`payload:${0x0098_0900}`, true);
  const ids: number[] = [];
  for (let n = 0; n < sessions; n++) ids.push(await stage.open());
  const head = (session: number) => Buffer.concat([u32(3, 0, session, 72), sPayload(size)]);
  return sixtyFour(stage, longList(head(ids[0]!), entry), 60);
}

/** Only the addon: 64 sessions with 1 MiB of controls each, whose ioctls all end while the loop stands still. */
async function together(): Promise<Longest> {
  const files = Array.from({ length: 64 }, () => new native.NodeFile(() => undefined));
  await Promise.all(files.map((file) => new Promise((resolve) => file.open('/dev/null', resolve))));
  let left = files.length;
  for (const file of files) {
    const payloads = [new Uint8Array(MIB)];
    const [controls, array] = [u32(0, 1, 0, 0, 0, 0, 0, 0), u32(0x0098_0900, MIB, 0, 0, 0)];
    file.submit({ kind: 'controls', nr: 72, controls, array, payloads }, () => left--);
  }
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
  const longest = await watch(
    () => undefined,
    () => left === 0,
  );
  for (const file of files) file.close();
  return longest;
}

/** The longest turn that this machine shows when turns of one millisecond do nothing but read the clock. */
function floor(): Promise<Longest> {
  let turns = 300;
  return watch(
    () => undefined,
    () => {
      for (const end = performance.now() + 1; performance.now() < end; );
      return --turns === 0;
    },
  );
}

const worst: Readonly<Record<string, (stage: Stage) => Promise<Longest>>> = {
  'the floor: 300 turns of a millisecond': floor,
  'chains of 1 MiB': (stage) => {
    const address = stage.commands.put(0, Buffer.concat([u32(77, 0), Buffer.alloc(MIB - 8)]));
    for (let head = 0; head < 2000; head++) stage.commands.ring.describe(head, { address, length: MIB });
    return stage.longest(Array.from({ length: 2000 }, (_, head) => head));
  },
  'chains of 1 MiB of untouched memory': (stage) => {
    for (let head = 0; head < 400; head++)
      stage.commands.ring.describe(head, { address: FRESH.address + head * MIB, length: MIB });
    return stage.longest(Array.from({ length: 400 }, (_, head) => head));
  },
  'indirect tables of 512 KiB, one entry read': (stage) => {
    const { ram, ring } = stage.commands;
    ram.bytes.writeBigUInt64LE(BigInt(stage.commands.put(0, u32(77, 0))), BUFFERS + 0x10_0000);
    ram.bytes.writeUInt32LE(8, BUFFERS + 0x10_0000 + 8);
    const address = GUEST + BUFFERS + 0x10_0000;
    for (let head = 0; head < 2000; head++)
      ring.describe(head, { address, length: 512 * 1024, flags: INDIRECT });
    return stage.longest(Array.from({ length: 2000 }, (_, head) => head));
  },
  'chains of 32,768 descriptors of an untouched byte each': (stage) => {
    const { ring } = stage.commands;
    const table = BUFFERS + 0x10_0000;
    for (let n = 0; n < 32768; n++) {
      const flags = n === 32767 ? 0 : 1;
      ring.describe(n, { address: untouched(n), length: 1, flags, next: n + 1 }, table);
    }
    for (let head = 0; head < 64; head++)
      ring.describe(head, { address: GUEST + table, length: 512 * 1024, flags: INDIRECT });
    return stage.longest(Array.from({ length: 64 }, (_, head) => head));
  },
  'S_EXT_CTRLS, 65,531 entries that do not cover the control': (stage) => controls(stage, here, MIB),
  'S_EXT_CTRLS, 65,531 entries of a byte': (stage) => controls(stage, here, 65_000),
  'S_EXT_CTRLS, 65,531 entries of an untouched byte': (stage) => controls(stage, untouched, 65_000),
  'S_EXT_CTRLS of 1,024 controls': async (stage) => {
    const session = await stage.open();
    const array = Array.from({ length: 1024 }, (_, n) => u32(0x0098_0900 + n, 0, 0, 0, 0));
    return sixtyFour(stage, Buffer.concat([u32(3, 0, session, 72), sMany(1024), ...array]), 60);
  },
  'S_EXT_CTRLS of 64 sessions, a megabyte each, whose ioctls end together': together,
  'QBUF, 65,529 entries that do not cover the plane': (stage) => pages(stage, here, MIB),
  'QBUF, 65,529 entries of a byte': (stage) => pages(stage, here, 65_000),
  'QBUF, 65,529 entries of an untouched byte': (stage) => pages(stage, untouched, 65_000),
};

/** As the program has it (package/bundle.mjs). */
const COLLECTOR = '--single-threaded-gc';
if (!process.execArgv.includes(COLLECTOR)) {
  console.error(`turns: the daemon runs with ${COLLECTOR}, so its turns are measured with it as well`);
  process.exit(2);
}
log.silent = true;
for (const [name, run] of Object.entries(worst)) {
  const times: string[] = [];
  for (let n = 0; n < 3; n++) {
    const stage = new Stage();
    const { clock, collector, delay } = await run(stage);
    const [whole, ...parts] = [clock, collector, delay].map((each) => each.toFixed(1).padStart(4));
    times.push(`  ${whole} (${parts.join(',')})`);
    stage.close();
    // A thread unmaps the guest's memory. Meanwhile it holds a lock that page faults of the next run need.
    await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
  }
  console.log(`${times.join('')} ms  ${name}`);
}
