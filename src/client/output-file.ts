/** A file that is made when there is something to write. */
import { accessSync, closeSync, constants, existsSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

export class OutputFile {
  /** Bytes written so far. */
  bytes = 0;
  #fd: number | undefined;

  /** A system error where it cannot be written. */
  constructor(readonly path: string) {
    accessSync(existsSync(path) ? path : dirname(path), constants.W_OK);
  }

  write(bytes: Uint8Array): void {
    this.#fd ??= openSync(this.path, 'w');
    for (let at = 0; at < bytes.length; ) {
      const written = writeSync(this.#fd, bytes, at);
      at += written;
      this.bytes += written;
    }
  }

  /** Leaves the file as it is. Twice is harmless. */
  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
