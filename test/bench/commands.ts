/**
 * The cost of a command compared with another build: `node dist/test/bench/commands.js DIST`, DIST being the `dist` of
 * the other build. Both builds run in turn in processes of their own. Printed are the least of all rounds for each
 * figure, and the ratio. The node is a fake.
 */
import { spawnSync } from 'node:child_process';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DeviceBench } from '../unit/media/bench.js';
import type { FakeTransport } from '../unit/media/fake-transport.js';

const ROUNDS = 9;
const BLOCKS = 9;
const FEW = 20;
const PAGE = 4096;
const USERPTR = 2;
const [REQBUFS, QBUF, G_INPUT, STREAMON, S_EXT_CTRLS] = [8, 15, 38, 18, 72];
const CONTROL = 0x0098_0900;
/** Guest address of the memory after that of the rings. */
const PAGES = 0x1_0000_0000;

interface Figures {
  readonly microseconds: number;
  readonly bytes: number;
}

interface Parts {
  DeviceBench: new (mmap: 'auto', transport: FakeTransport, more: object) => DeviceBench;
  FakeTransport: new () => FakeTransport;
  u32: (...values: number[]) => Buffer;
  memoryFile: (name: string, size: number) => number;
}

type Scene = (bench: DeviceBench, parts: Parts) => Promise<() => Promise<unknown>>;

/** `count` SG entries of one page each; every second page is used. */
function sgList(count: number): Buffer {
  const list = Buffer.alloc(16 * count);
  for (let n = 0; n < count; n++) {
    list.writeBigUInt64LE(BigInt(PAGES + 2 * PAGE * n), 16 * n);
    list.writeUInt32LE(PAGE, 16 * n + 8);
  }
  return list;
}

function record(memory: number, length: number): Buffer {
  const raw = Buffer.alloc(88);
  raw.writeUInt32LE(1, 4);
  raw.writeUInt32LE(memory, 60);
  raw.writeUInt32LE(length, 72);
  return raw;
}

const scenes: Readonly<Record<string, { readonly times: number; readonly scene: Scene }>> = {
  G_INPUT: {
    times: 1000,
    scene: async (bench, { u32 }) => {
      const session = await bench.open();
      return () => bench.ioctl(session, G_INPUT, u32(0));
    },
  },
  'QBUF (MMAP)': {
    times: 1000,
    scene: async (bench, { u32 }) => {
      const session = await bench.open();
      await bench.ioctl(session, REQBUFS, u32(1, 1, 1, 0, 0));
      await bench.tell(session, STREAMON, u32(1));
      return async () => {
        await bench.ioctl(session, QBUF, record(1, 0));
        bench.node.file.queued.length = 0;
        bench.node.file.buffers[0]!.state = 'idle';
      };
    },
  },
  'S_EXT_CTRLS of 64 controls of 64 bytes': {
    times: 200,
    scene: async (bench, { u32 }) => {
      const session = await bench.open();
      for (let n = 0; n < 64; n++) bench.node.traits.set(`payload:${CONTROL + n}`, true);
      const array = Array.from({ length: 64 }, (_, n) => u32(CONTROL + n, 64, 0, 0, 0));
      const list = sgList(64);
      for (let n = 0; n < 64; n++) list.writeUInt32LE(64, 16 * n + 8);
      const head = u32(3, 0, session, S_EXT_CTRLS, 0, 64, 0, 0, 0, 0, 0, 0);
      const request = Buffer.concat([head, ...array, list]);
      return () => bench.command(request, 8 + 32 + 64 * 20);
    },
  },
  'S_EXT_CTRLS of 64 controls without payload': {
    times: 200,
    scene: async (bench, { u32 }) => {
      const session = await bench.open();
      const array = Array.from({ length: 64 }, (_, n) => u32(CONTROL + n, 0, 0, n, 0));
      const request = Buffer.concat([u32(3, 0, session, S_EXT_CTRLS, 0, 64, 0, 0, 0, 0, 0, 0), ...array]);
      return () => bench.command(request, 8 + 32 + 64 * 20);
    },
  },
  'QBUF (SHARED_PAGES) of 2048 pieces': {
    times: 100,
    scene: async (bench, { u32 }) => {
      const session = await bench.open();
      bench.node.planeLengths = [2048 * PAGE];
      await bench.ioctl(session, REQBUFS, u32(1, 1, USERPTR, 0, 0));
      await bench.tell(session, STREAMON, u32(1));
      const head = Buffer.concat([u32(3, 0, session, QBUF), record(USERPTR, 2048 * PAGE)]);
      const request = Buffer.concat([head, sgList(2048)]);
      return async () => {
        await bench.command(request, 96);
        bench.node.file.queued.length = 0;
        bench.node.file.buffers[0]!.state = 'idle';
      };
    },
  },
};

const cpu = (): number => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

async function load(dist: string): Promise<Parts> {
  const { log } = await import(`${dist}/src/log.js`);
  log.silent = true;
  const { DeviceBench, u32 } = await import(`${dist}/test/unit/media/bench.js`);
  const { FakeTransport } = await import(`${dist}/test/unit/media/fake-transport.js`);
  const { native } = await import(`${dist}/src/native.js`);
  return { DeviceBench, FakeTransport, u32, memoryFile: native.memoryFile };
}

/** Figures of one call after warm-up: processor time in microseconds, and bytes of heap that it allocates. */
async function measure(parts: Parts, times: number, scene: Scene): Promise<Figures> {
  const bench = new parts.DeviceBench('auto', new parts.FakeTransport(), { sharedPages: true });
  const size = 4096 * PAGE;
  const region = { guestAddress: PAGES, size, userAddress: 2 ** 40, fileOffset: 0 };
  bench.memory.add(region, parts.memoryFile('pages', size));
  bench.start();
  const run = await scene(bench, parts);
  for (let n = 0; n < times; n++) await run();
  let microseconds = Infinity;
  for (let block = 0; block < BLOCKS; block++) {
    const begun = cpu();
    for (let n = 0; n < times; n++) await run();
    microseconds = Math.min(microseconds, (cpu() - begun) / times);
  }
  // So few calls that V8 collects nothing meanwhile.
  const used: number[] = [];
  for (let block = 0; block < BLOCKS; block++) {
    globalThis.gc?.();
    const heap = process.memoryUsage().heapUsed;
    for (let n = 0; n < FEW; n++) await run();
    used.push((process.memoryUsage().heapUsed - heap) / FEW);
  }
  const bytes = used.sort((a, b) => a - b)[BLOCKS >> 1]!;
  bench.close();
  return { microseconds, bytes };
}

async function child(dist: string): Promise<void> {
  const parts = await load(dist);
  const figures: Record<string, Figures> = {};
  for (const [name, { times, scene }] of Object.entries(scenes))
    figures[name] = await measure(parts, times, scene);
  console.log(JSON.stringify(figures));
}

const FLAGS = ['--expose-gc', '--single-threaded-gc'];

function compare(other: string): void {
  const dists = [resolve(other), resolve(dirname(fileURLToPath(import.meta.url)), '../..')];
  const least = dists.map((): Record<string, { microseconds: number; bytes: number }> => ({}));
  for (let round = 0; round < ROUNDS; round++)
    for (const [at, dist] of dists.entries()) {
      const run = spawnSync(process.execPath, [...FLAGS, fileURLToPath(import.meta.url), '--of', dist], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      for (const [name, { microseconds, bytes }] of Object.entries(
        JSON.parse(run.stdout) as Record<string, Figures>,
      )) {
        least[at]![name] ??= { microseconds, bytes };
        const best = least[at]![name]!;
        best.microseconds = Math.min(best.microseconds, microseconds);
        best.bytes = Math.min(best.bytes, bytes);
      }
    }
  const [before, now] = least as [Record<string, Figures>, Record<string, Figures>];
  const row = (a: number, b: number) => `${a.toFixed(1)} -> ${b.toFixed(1)} (${(b / a).toFixed(2)})`;
  for (const [name, was] of Object.entries(before))
    console.log(
      `${name}: ${row(was.microseconds, now[name]!.microseconds)} us, ${row(was.bytes, now[name]!.bytes)} bytes of heap`,
    );
}

const [first, second] = process.argv.slice(2);
if (first === '--of') await child(second!);
else compare(first!);
