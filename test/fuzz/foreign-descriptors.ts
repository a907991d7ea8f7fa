/**
 * Foreign descriptors: open at low numbers in the worker without the product's knowledge, so that a guest that guesses
 * a descriptor hits an open one.
 */
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { native } from '../../src/native.js';
import { bufferTypesOf } from '../../src/v4l2/enumeration.js';
import { HostNode } from '../../src/v4l2/node.js';
import { exportBuffer } from '../device/support/dmabuf.js';

/** Number of foreign descriptors. The worker has them from descriptor 3 on. */
const COUNT = 24;

export class ForeignDescriptors {
  readonly #folder = mkdtempSync(join(tmpdir(), 'vmb-fuzz-'));

  private constructor(readonly all: readonly number[]) {}

  /** Opens DMABUFs of `node` (if given), files, memory files, and eventfds whose count changes when they are read. */
  static async open(node: string | undefined): Promise<ForeignDescriptors> {
    const all: number[] = [];
    const foreign = new ForeignDescriptors(all);
    const file = join(foreign.#folder, 'foreign');
    writeFileSync(file, 'file of the test');
    const counter = () => {
      const fd = native.eventFd();
      native.signal(fd);
      return fd;
    };
    const type = node === undefined ? 0 : bufferTypesOf((await new HostNode(node).describe()).deviceCaps)[0];
    const makers = [
      async () => (node === undefined ? counter() : exportBuffer(node, type)),
      async () => native.memoryFile('foreign', 1 << 20),
      async () => counter(),
      async () => openSync(file, 'r+'),
    ];
    for (let number = 0; number < COUNT; number++) all.push(await makers[number % makers.length]!());
    return foreign;
  }

  close(): void {
    for (const fd of this.all) closeSync(fd);
    rmSync(this.#folder, { recursive: true });
  }
}
