/**
 * Buffers as objects: a UUID for each exported DMABUF, in one table for all nodes that one process serves, so that a
 * camera's buffer can be queued to an encoder. A UUID is the permission: nobody can guess one.
 */
import { randomFillSync } from 'node:crypto';
import { closeSync } from 'node:fs';
import { UUID_BYTES } from '../protocol.js';
import type { ObjectTransport } from '../transport.js';

/** The table of the process. Bounded by the buffers that its sessions hold: an object goes with its buffer. */
export class ObjectTable {
  readonly #descriptors = new Map<string, number>();

  /** Takes the descriptor. */
  add(fd: number): Uint8Array {
    const uuid = randomUuid();
    this.#descriptors.set(keyOf(uuid), fd);
    return uuid;
  }

  /** The DMABUF, which stays the table's; null: there is no such object. */
  find(uuid: Uint8Array): number | null {
    return this.#descriptors.get(keyOf(uuid)) ?? null;
  }

  /** Another descriptor of the same memory, which is taken. */
  replace(uuid: Uint8Array, fd: number): void {
    const before = this.find(uuid);
    this.#descriptors.set(keyOf(uuid), fd);
    if (before !== null) closeSync(before);
  }

  /** Whoever has the buffer queued keeps it alive. Twice is harmless. */
  remove(uuid: Uint8Array): void {
    const fd = this.#descriptors.get(keyOf(uuid));
    if (fd === undefined) return;
    this.#descriptors.delete(keyOf(uuid));
    closeSync(fd);
  }

  get size(): number {
    return this.#descriptors.size;
  }
}

/** A plane that is an object, and how it may be mapped. */
export interface ExportedPlane {
  readonly uuid: Uint8Array;
  readonly access: number;
}

const O_RDWR = 2;

/** What one device does with the table: its VMM is told of what it exports. */
export class DeviceObjects {
  constructor(
    private readonly table: ObjectTable,
    private readonly transport: ObjectTransport,
  ) {}

  /**
   * Takes the descriptor. A plane that was exported before is the same object: it has the wider access of the two.
   * `access`: O_RDONLY, O_WRONLY or O_RDWR.
   */
  export(fd: number, access: number, before: ExportedPlane | null): ExportedPlane {
    if (!before) {
      const uuid = this.table.add(fd);
      this.transport.addObject(uuid);
      return { uuid, access };
    }
    if (before.access === O_RDWR || access === before.access) {
      closeSync(fd);
      return before;
    }
    this.table.replace(before.uuid, fd);
    return { uuid: before.uuid, access };
  }

  withdraw({ uuid }: ExportedPlane): void {
    if (this.table.find(uuid) === null) return;
    this.transport.removeObject(uuid);
    this.table.remove(uuid);
  }

  find(uuid: Uint8Array): number | null {
    return this.table.find(uuid);
  }
}

/** RFC 9562, version 4. */
function randomUuid(): Uint8Array {
  const uuid = randomFillSync(new Uint8Array(UUID_BYTES));
  uuid[6] = (uuid[6]! & 0x0f) | 0x40;
  uuid[8] = (uuid[8]! & 0x3f) | 0x80;
  return uuid;
}

const keyOf = (uuid: Uint8Array): string => Buffer.from(uuid).toString('hex');
