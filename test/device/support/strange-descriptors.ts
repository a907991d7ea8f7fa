/** Descriptors of kinds that no VMM would send. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { native } from '../../../src/native.js';

export interface Strange {
  readonly name: string;
  readonly fd: number;
}

/** One descriptor of each kind. `close()` closes them. */
export class StrangeDescriptors {
  readonly all: readonly Strange[];
  readonly #folder = mkdtempSync(join(tmpdir(), 'vmb-strange-'));
  readonly #ours: number[];

  constructor() {
    const fifo = join(this.#folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const [one, other] = native.socketPair();
    this.#ours = [other];
    this.all = [
      { name: 'a pipe', fd: openSync(fifo, 'r+') },
      { name: 'a file', fd: openSync(join(this.#folder, 'file'), 'w+') },
      { name: 'a folder', fd: openSync(this.#folder, 'r') },
      { name: 'a device', fd: openSync('/dev/zero', 'r+') },
      { name: 'a memory file', fd: native.memoryFile('strange', 4096) },
      { name: 'a socket', fd: one },
      { name: 'an epoll', fd: ownEpoll() },
    ];
  }

  close(): void {
    for (const { name, fd } of this.all) if (name !== 'an epoll') closeSync(fd);
    for (const fd of this.#ours) closeSync(fd);
    rmSync(this.#folder, { recursive: true });
  }
}

/** The epoll descriptor of the event loop that runs this test. It is borrowed, because the addon cannot make one. */
function ownEpoll(): number {
  const isEpoll = (fd: string) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[eventpoll]';
    } catch {
      return false;
    }
  };
  return Number(readdirSync('/proc/self/fd').find(isEpoll));
}
