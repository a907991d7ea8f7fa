/** SHM region 0 for each test of a suite, over a FAKE transport. The memory is real. */
import { SharedMemory, type SharedMemorySlot } from '../../../../src/media/memory/shared-memory.js';
import { FakeTransport } from '../fake-transport.js';

/** Bytes of the smallest part of the region that is handed out. */
export const UNIT = 0x1_0000;

/**
 * Adds the hooks of a suite. `setup`: how the VMM of the transport behaves. A region of 16 units and its transport are given
 * to `made` for each test. The region is closed after the test.
 */
export function sharedMemorySuite(
  setup: [prefers: 'arena' | 'direct', survivesReset: boolean],
  made: (shared: SharedMemory, transport: FakeTransport) => void,
): void {
  let shared: SharedMemory;
  beforeEach(() => {
    const transport = new FakeTransport(16 * UNIT, ...setup);
    shared = new SharedMemory(transport, 'auto');
    made(shared, transport);
  });
  afterEach(() => shared.close());
}

/** Bytes of an arena slot. */
export function bytes(shared: SharedMemory, slot: SharedMemorySlot): Buffer {
  const { region, offset, length } = shared.memory(slot);
  return Buffer.from(region.windows[0]!, offset, length);
}
