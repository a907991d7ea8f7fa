/** A named pipe, whose readiness a test decides: a file that has a path, as a node has, and that epoll can wait for. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class Fifo {
  readonly #folder = mkdtempSync(join(tmpdir(), 'vmb-fifo-'));
  readonly path = join(this.#folder, 'fifo');
  readonly fd: number;

  constructor() {
    const { status, stderr } = spawnSync('mkfifo', [this.path], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    this.fd = openSync(this.path, constants.O_RDWR | constants.O_NONBLOCK);
  }

  /** Makes it readable. Each call is an edge. */
  signal(): void {
    assert.equal(writeSync(this.fd, 'x'), 1);
  }

  close(): void {
    closeSync(this.fd);
    rmSync(this.#folder, { recursive: true });
  }
}
