/** A file that is created at the first write. */
import { accessSync, closeSync, constants, existsSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

export class OutputFile {
  /** Bytes written so far. */
  bytes = 0;
  #fd: number | undefined;

  /** Throws a system error if the file, or the folder of a new file, is not writable. */
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

  /** Closes the file. A second call is harmless. */
  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
