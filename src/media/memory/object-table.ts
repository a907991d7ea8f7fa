/**
 * Buffers as objects: each exported DMABUF has a UUID. One table serves all nodes of the process, so that the buffer of
 * a camera can be queued to an encoder. Whoever knows a UUID may use the object, because nobody can guess a UUID.
 */
import { closeSync } from 'node:fs';
import { crypto } from '../../crypto.js';
import type { ObjectTransport } from '../transport.js';

/** The table of the process. The number of buffers bounds it, because an object ends with its buffer. */
export class ObjectTable {
  readonly #descriptors = new Map<string, number>();

  /** Adds a DMABUF and returns its new UUID (16 bytes). The descriptor belongs to the table from now on. */
  add(fd: number): Uint8Array {
    const uuid = newUuid();
    this.#descriptors.set(keyOf(uuid), fd);
    return uuid;
  }

  /** The descriptor of the DMABUF, which the table keeps; null: there is no such object. */
  find(uuid: Uint8Array): number | null {
    return this.#descriptors.get(keyOf(uuid)) ?? null;
  }

  /** Replaces the descriptor by another one of the same memory, and closes the old one. Takes `fd`. */
  replace(uuid: Uint8Array, fd: number): void {
    const before = this.find(uuid);
    this.#descriptors.set(keyOf(uuid), fd);
    if (before !== null) closeSync(before);
  }

  /** Removes an object. The memory stays alive as long as the buffer is queued somewhere. Calling twice is harmless. */
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

/** A plane that was exported as an object. */
export interface ExportedPlane {
  /** 16 bytes. */
  readonly uuid: Uint8Array;
  /** How the DMABUF may be mapped: O_RDONLY, O_WRONLY or O_RDWR. */
  readonly access: number;
}

const O_RDWR = 2;

/** The objects of one device. It adds exported planes to the table and tells its VMM about them. */
export class DeviceObjects {
  constructor(
    private readonly table: ObjectTable,
    private readonly transport: ObjectTransport,
  ) {}

  /**
   * Makes a plane an object. Takes `fd`, its DMABUF. `access`: O_RDONLY, O_WRONLY or O_RDWR. `before`: the earlier
   * export of the plane, or null. A plane keeps its UUID. `fd` replaces the earlier DMABUF if that one was not O_RDWR
   * and `access` is another one.
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

  /** Removes an object from the table and tells the VMM. An object that is not in the table is ignored. */
  withdraw({ uuid }: ExportedPlane): void {
    if (this.table.find(uuid) === null) return;
    this.transport.removeObject(uuid);
    this.table.remove(uuid);
  }

  /** As `ObjectTable.find`. */
  find(uuid: Uint8Array): number | null {
    return this.table.find(uuid);
  }
}

/** A random UUID (RFC 9562, version 4) as 16 bytes. */
const newUuid = (): Uint8Array => Buffer.from(crypto().randomUUID().replaceAll('-', ''), 'hex');

const keyOf = (uuid: Uint8Array): string => Buffer.from(uuid).toString('hex');
