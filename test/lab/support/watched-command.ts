/** A command in a page of guest memory that is never used for anything else. So a late write to it is detected. */
import assert from 'node:assert/strict';
import type { GuestDriver } from '../../../src/client/guest-driver.js';
import type { Block } from '../../../src/client/heap.js';
import type { Piece } from '../../../src/client/pieces.js';
import type { Answer } from '../../../src/client/transaction.js';
import {
  Command,
  commandHeader,
  ioctlCommand,
  openResponse,
  responseHeader,
} from '../../../src/media/protocol.js';
import { ioctls } from '../../../src/v4l2/ioctls.js';

const PAGE = 4096;
/** Distance of the records in bytes. With it a record that is too long is detected too. */
const APART = 1024;
const FILL = 0xa5;

export class KeptCommand {
  readonly answer: Promise<Answer>;
  /** Milliseconds until the answer came. */
  took = Number.NaN;
  readonly #page: Uint8Array;

  private constructor(
    driver: GuestDriver,
    operation: string,
    parts: readonly Uint8Array[],
    response: number,
    answers: boolean,
  ) {
    const address = driver.heap.allocate(PAGE, PAGE);
    this.#page = driver.heap.ram.view(address, PAGE);
    const readable = parts.map(({ length }, i): Piece => ({ address: address + i * APART, length }));
    for (const [i, part] of parts.entries()) this.#page.set(part, i * APART);
    const header: Piece = { address: address + parts.length * APART, length: response };
    const pieces = [...readable, header];
    const bytes = (i: number) => driver.heap.ram.view(pieces[i]!.address, pieces[i]!.length);
    // Never released, so that nothing else gets this memory.
    const block: Block = { pieces, bytes, release: () => undefined };
    const payload = answers ? readable.slice(1) : [];
    const started = performance.now();
    this.answer = driver.transact({
      operation,
      block,
      readable,
      writable: [header, ...payload],
      answered: () => {
        this.took = performance.now() - started;
      },
    });
  }

  static ioctl(driver: GuestDriver, session: number, nr: number, payload: Uint8Array): KeptCommand {
    const command = Buffer.alloc(ioctlCommand.size);
    driver.writeIoctl(command, session, nr);
    const { name, size, direction } = ioctls.get(nr)!;
    const whole = Buffer.alloc(size);
    whole.set(payload);
    return new KeptCommand(driver, name, [command, whole], responseHeader.size, direction !== 'w');
  }

  static open(driver: GuestDriver): KeptCommand {
    const command = commandHeader.encode({ command: Command.OPEN, reserved: 0 });
    return new KeptCommand(driver, 'OPEN', [command], openResponse.size, false);
  }

  /** Fills the memory, as if the guest used it for something else from now on. */
  reuse(): void {
    this.#page.fill(FILL);
  }

  /** Checks that nobody has written to the memory since reuse(). */
  verify(): void {
    const at = this.#page.findIndex((byte) => byte !== FILL);
    assert.equal(at, -1, `the guest was written to after its answer, at ${at}`);
  }
}
