import type { SharedMemory, SharedMemorySlot } from '../../../../src/media/memory/shared-memory.js';

/** Bytes of an arena slot. */
export function bytes(shared: SharedMemory, slot: SharedMemorySlot): Buffer {
  const { region, offset, length } = shared.memory(slot);
  return Buffer.from(region.windows[0]!, offset, length);
}
