/** A process that writes into guest memory all the time, as a second processor of the guest would (see rings.ts). */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { native } from '../../src/native.js';
import { Random } from './random.js';

/** Range of the memory file, in bytes. */
export interface Place {
  readonly start: number;
  readonly length: number;
}

const program = fileURLToPath(import.meta.url);
const MEMORY_FD = 3;
/** Number of writes between two checks that the parent still exists. */
const BURST = 2000;

export class MemoryWriter {
  private constructor(private readonly child: ChildProcess) {}

  /** Resolves when the process has started to write. */
  static async start(
    memory: number,
    size: number,
    places: readonly Place[],
    seed: number,
  ): Promise<MemoryWriter> {
    const words = [program, JSON.stringify({ size, places, seed })];
    const child = spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'inherit', memory] });
    await new Promise((resolve, reject) => {
      child.stdout!.once('data', resolve);
      child.once('exit', () => reject(new Error('the memory writer did not start')));
    });
    child.removeAllListeners('exit');
    return new MemoryWriter(child);
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once('close', resolve));
    this.child.stdin!.end();
    await ended;
  }
}

/** Writes words, half words and whole descriptors: flags and next fields change while the device reads them. */
function writeBurst(bytes: Buffer, places: readonly Place[], random: Random): void {
  for (let left = BURST; left > 0; left--) {
    const { start, length } = random.pick(places);
    const at = start + 2 * random.below((length - 8) >> 1);
    const kind = random.below(4);
    if (kind === 0) bytes.writeUInt32LE(random.edge(), at);
    else bytes.writeUInt16LE(kind === 1 ? random.u32() & 0xffff : random.below(8), at);
  }
}

if (process.argv[1] === program) {
  const order = JSON.parse(process.argv[2]!) as { size: number; places: Place[]; seed: number };
  const region = new native.Region(MEMORY_FD, 0, order.size);
  const bytes = Buffer.from(region.windows[0]!);
  const random = Random.of(order.seed, 'scribbler');
  process.stdin.resume();
  process.stdin.on('end', () => process.exit());
  process.stdout.write('writing');
  const again = (): void => {
    writeBurst(bytes, order.places, random);
    setImmediate(again);
  };
  again();
}
