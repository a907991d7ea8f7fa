/** Announces guest memory to the back-end: as a whole table, or slot by slot if CONFIGURE_MEM_SLOTS is negotiated. */
import {
  FrontEndRequest,
  memoryRegion,
  memoryTableHeader,
  singleMemoryRegion,
} from '../vhost-user/protocol.js';
import type { AnnouncedRegion } from './memfd-ram.js';

/** Most regions that QEMU sends in one SET_MEM_TABLE (VHOST_MEMORY_BASELINE_NREGIONS). */
export const MAX_TABLE_REGIONS = 8;

type Send = (request: number, body: Uint8Array, descriptors?: readonly number[]) => Promise<void>;

export class MemoryTable {
  readonly #send: Send;
  readonly #slots: boolean;
  #announced: AnnouncedRegion[] = [];

  constructor(slots: boolean, send: Send) {
    this.#slots = slots;
    this.#send = send;
  }

  /**
   * Announces the regions that exist now. A table is sent as a whole; of the slots only those that changed are sent.
   * RangeError if a table would have more than MAX_TABLE_REGIONS regions.
   */
  async announce(regions: readonly AnnouncedRegion[]): Promise<void> {
    if (this.#slots) return this.#announceSlots(regions);
    if (regions.length > MAX_TABLE_REGIONS)
      throw new RangeError(`${regions.length} regions do not fit a table of ${MAX_TABLE_REGIONS}`);
    const head = memoryTableHeader.encode({ count: regions.length, pad4: 0 });
    const body = Buffer.concat([head, ...regions.map((region) => memoryRegion.encode(region))]);
    const descriptors = regions.map(({ fd }) => fd);
    await this.#send(FrontEndRequest.SET_MEM_TABLE, body, descriptors);
  }

  async #announceSlots(regions: readonly AnnouncedRegion[]): Promise<void> {
    const among = (list: readonly AnnouncedRegion[], region: AnnouncedRegion) =>
      list.some((other) => other.guestAddress === region.guestAddress && other.size === region.size);
    const gone = this.#announced.filter((region) => !among(regions, region));
    const come = regions.filter((region) => !among(this.#announced, region));
    this.#announced = [...regions];
    for (const region of gone)
      await this.#send(
        FrontEndRequest.REM_MEM_REG,
        singleMemoryRegion.encode({ pad0: 0, region: { ...region, fileOffset: 0 } }),
      );
    for (const region of come)
      await this.#send(FrontEndRequest.ADD_MEM_REG, singleMemoryRegion.encode({ pad0: 0, region }), [
        region.fd,
      ]);
  }
}
