/** A device with one session for each test of a suite, and the records that allocate buffers. */
import { log } from '../../../../src/log.js';
import { DeviceBench, u32 } from '../bench.js';

export const request = (count: number, type = 1, memory = 1, flags = 0) => u32(count, type, memory, 0, flags);
export const create = (count: number, sizeimage: number, memory = 1, type = 1): Buffer => {
  const raw = Buffer.alloc(256);
  raw.set(u32(0, count, memory, 0, type));
  raw.writeUInt32LE(sizeimage, 16 + 8 + 20);
  return raw;
};
export const query = (index: number, length = 0, type = 1): Buffer => {
  const raw = Buffer.alloc(88 + 64 * length);
  raw.set(u32(index, type));
  raw.writeUInt32LE(length, 72);
  return raw;
};

/** Adds the hooks of a suite. `boot` makes another device; each is given to `made`, with its first session. */
export function allocationSuite(made: (bench: DeviceBench, session: number) => void) {
  let bench: DeviceBench | undefined;
  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  const boot = async (...setup: ConstructorParameters<typeof DeviceBench>) => {
    bench?.close();
    bench = new DeviceBench(...setup);
    bench.start();
    made(bench, await bench.open());
  };
  beforeEach(() => boot());
  after(() => bench!.close());
  return { boot };
}

/** (count, memory) of every REQBUFS that reached the node. */
export const asked = ({ node }: DeviceBench) =>
  node.file.asked(8).map((call) => {
    const raw = Buffer.from((call as { payload: Uint8Array }).payload);
    return [raw.readUInt32LE(0), raw.readUInt32LE(8)];
  });
