/**
 * Chains that VIRTIO forbids (VIRTIO 1.4, 2.7). Each function returns the head of a chain that would be a command of
 * READABLE and WRITABLE bytes if it were well formed.
 */
import { join } from './bytes.js';
import type { Guest } from './guest.js';
import { descriptor, INDIRECT, NEXT, type Piece, WRITE } from './ring.js';

export const READABLE = 80;
export const WRITABLE = 72;

export const malformed: Record<string, (guest: Guest, query: Piece, room: Piece) => number> = {
  'a loop of two descriptors': (guest, query) => {
    guest.commandq.describe(100, { ...query, flags: NEXT }, 101);
    guest.commandq.describe(101, { ...query, flags: NEXT }, 100);
    return 100;
  },
  'a descriptor that is its own next': (guest, query) => {
    guest.commandq.describe(100, { ...query, flags: NEXT }, 100);
    return 100;
  },
  'a loop of the whole table': (guest, query) => {
    for (let slot = 0; slot < 256; slot++)
      guest.commandq.describe(slot, { ...query, length: 1, flags: NEXT }, (slot + 1) % 256);
    return 7;
  },
  'a head beyond the table': () => 256,
  'the largest head': () => 0xffff,
  'a next beyond the table': (guest, query) => {
    guest.commandq.describe(100, { ...query, flags: NEXT }, 256);
    return 100;
  },
  'a readable descriptor after a writable one': (guest, query, room) => guest.commandq.chain([room, query]),
  'readable memory outside of guest memory': (guest, _, room) =>
    guest.commandq.chain([{ address: 0x8000_0000, length: READABLE }, room]),
  'readable memory at address 0': (guest, _, room) =>
    guest.commandq.chain([{ address: 0, length: READABLE }, room]),
  'readable memory that ends outside': (guest, _, room) =>
    guest.commandq.chain([{ address: 0x4040_0000 - 79, length: READABLE }, room]),
  'readable memory that wraps around': (guest, _, room) =>
    guest.commandq.chain([{ address: (1n << 64n) - 40n, length: READABLE }, room]),
  'readable memory beyond 2^53': (guest, _, room) =>
    guest.commandq.chain([{ address: 1n << 63n, length: READABLE }, room]),
  'writable memory outside of guest memory': (guest, query) =>
    guest.commandq.chain([query, { address: 0x8000_0000, length: WRITABLE, flags: WRITE }]),
  'writable memory that ends outside': (guest, query) =>
    guest.commandq.chain([query, { address: 0x1_0010_0000 - 71, length: WRITABLE, flags: WRITE }]),
  'writable memory across a hole': (guest, query) =>
    guest.commandq.chain([query, { address: 0x4000_0000, length: 0xffff_ffff, flags: WRITE }]),
  'more than 1 MiB to read': (guest, _, room) =>
    guest.commandq.chain([{ address: 0x4000_0000, length: 0x10_0001 }, room]),
  'more than 4 GiB in all': (guest, query) =>
    guest.commandq.chain([
      query,
      ...Array(3).fill({ address: 0x4000_0000, length: 0xffff_ffff, flags: WRITE }),
    ]),
  'an indirect table in an indirect table': (guest, query, room) => {
    const inner = guest.table([query, room]);
    return guest.commandq.chain([guest.table([inner])]);
  },
  'an indirect table of odd length': (guest, query, room) =>
    guest.commandq.chain([{ ...guest.table([query, room]), length: 31 }]),
  'an indirect table of no length': (guest, query, room) =>
    guest.commandq.chain([{ ...guest.table([query, room]), length: 0 }]),
  'an indirect table of 4 GiB': (guest, query, room) =>
    guest.commandq.chain([{ ...guest.table([query, room]), length: 0xffff_fff0 }]),
  'an indirect table outside of guest memory': (guest) =>
    guest.commandq.chain([{ address: 0x8000_0000, length: 32, flags: INDIRECT }]),
  'an indirect descriptor with a next one': (guest, query, room) =>
    guest.commandq.chain([guest.table([query, room]), room]),
  'an indirect table whose next leads out of it': (guest, query) => {
    const entry = descriptor({ ...query, flags: NEXT }, 1);
    return guest.commandq.chain([{ address: guest.place(entry), length: 16, flags: INDIRECT }]);
  },
  'a loop in an indirect table': (guest, query) => {
    const entries = join(descriptor({ ...query, flags: NEXT }, 1), descriptor({ ...query, flags: NEXT }, 0));
    return guest.commandq.chain([{ address: guest.place(entries), length: 32, flags: INDIRECT }]);
  },
};
