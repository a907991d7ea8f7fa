/** The memory table: the regions of guest memory, as the front-end's requests describe them. */
import { fstatSync } from 'node:fs';
import { fileIdentity, type GuestMemory, type MemoryRegion } from '../virtio/guest-memory.js';
import { closeAll } from './connection.js';
import { Refusal } from './refusal.js';
import type { MemoryTarget } from './request-target.js';

export class MemoryTable implements MemoryTarget {
  /**
   * `isMapped`: whether the file with this identity is mapped in SHM region 0. `onChange`: called after each change of
   * `memory`.
   */
  constructor(
    private readonly memory: GuestMemory,
    private readonly isMapped: (identity: string) => boolean,
    private readonly onChange: () => void,
  ) {}

  replace(regions: readonly MemoryRegion[], descriptors: number[]): void {
    const opaque = descriptors.map((fd) => this.#isOpaque(fd));
    const taken = descriptors.splice(0);
    const fds = taken.map((fd, index) => (opaque[index] ? null : fd));
    closeAll(taken.filter((_, index) => opaque[index]));
    this.memory.replace(regions.map((region, index) => ({ region, fd: fds[index]! })));
    this.onChange();
  }

  add(region: MemoryRegion, descriptors: number[]): void {
    if (this.#isOpaque(descriptors[0]!)) this.memory.addOpaque(region);
    else this.memory.add(region, descriptors.shift()!);
    this.onChange();
  }

  remove(region: MemoryRegion): void {
    if (!this.memory.remove(region)) throw new Refusal('there is no such memory region');
    this.onChange();
  }

  /**
   * Whether a region must not be mapped: its file is one that the VMM mapped for the bridge and sends back as guest
   * memory, or it is not an ordinary file (a DMABUF or V4L2 node of another device of the VM: a mapping has effects
   * there). Guest RAM is an ordinary file.
   */
  #isOpaque(fd: number): boolean {
    return !fstatSync(fd).isFile() || this.isMapped(fileIdentity(fd));
  }
}
