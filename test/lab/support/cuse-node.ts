/** A node that hangs on command: cuse-node.c, compiled on the machine where it runs. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { eventually } from '../../addon/support/process.js';
import { provide } from './kernel-modules.js';

/** Paths in the sources: the TypeScript compiler does not copy C files. */
const SOURCES = ['cuse-node.c', 'cuse-camera.c'].map((name) =>
  fileURLToPath(new URL(`../../../../test/lab/support/${name}`, import.meta.url)),
);
/** A number above those of the lab's drivers. */
let number = 200;
let program: string | undefined;

/** What is not answered: an operation on the file, all of them, or an ioctl by its number. */
export type Held = 'open' | 'close' | 'poll' | 'all' | number;

export class CuseNode {
  /** Number of requests that have begun to wait since the node was made. */
  held = 0;
  #answers = 0;

  private constructor(
    readonly path: string,
    private readonly child: ChildProcess,
  ) {
    createInterface(child.stdout!).on('line', (line) => {
      if (line === 'held') this.held++;
      else this.#answers++;
    });
  }

  /** Makes the node. Skips the suite of `context` if that is not possible. */
  static async make(context: Mocha.Context): Promise<CuseNode> {
    provide(context, 'cuse');
    program ??= compile();
    const name = `video${number++}`;
    const child = spawn(program, [name], { stdio: ['pipe', 'pipe', 'inherit'] });
    const node = new CuseNode(`/dev/${name}`, child);
    assert.ok(await eventually(() => node.#answers === 1, 5000), 'the node does not appear');
    return node;
  }

  /** When this resolves, `what` is not answered any more. */
  hold(what: Held): Promise<void> {
    return this.#obeys(`hold ${what}`);
  }

  /** When this resolves, every ioctl takes that many milliseconds. */
  slow(milliseconds: number): Promise<void> {
    return this.#obeys(`slow ${milliseconds}`);
  }

  /** When this resolves, the ioctl answers `errno` until heal(). */
  refuse(ioctl: number, errno: number): Promise<void> {
    return this.#obeys(`refuse ${ioctl} ${errno}`);
  }

  /** When this resolves, the node answers as an unregistered V4L2 node: poll says HUP, and every ioctl ENODEV. */
  unregister(): Promise<void> {
    return this.#obeys('unregister');
  }

  /** Resolves when `count` requests more than `from` have begun to wait. */
  async waits(count = 1, from = this.held): Promise<void> {
    assert.ok(await eventually(() => this.held >= from + count, 5000), 'nothing waits');
  }

  /** Every waiting request is carried out, and nothing is slow or refused any more. */
  heal(): Promise<void> {
    return this.#obeys('well');
  }

  async #obeys(command: string): Promise<void> {
    const before = this.#answers;
    this.child.stdin!.write(`${command}\n`);
    assert.ok(await eventually(() => this.#answers > before, 5000), 'the node does not obey');
  }

  /** Ends the node. The kernel answers ECONNABORTED to whoever still waits. */
  async end(): Promise<void> {
    const ended = once(this.child, 'exit');
    this.child.stdin!.end();
    await ended;
  }
}

function compile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'vmb-cuse-node-'));
  process.once('exit', () => rmSync(folder, { recursive: true }));
  const output = join(folder, 'cuse-node');
  execFileSync('gcc', ['-Wall', '-Wextra', '-Werror', '-O', '-o', output, ...SOURCES]);
  return output;
}
