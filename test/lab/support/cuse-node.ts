/** A node that hangs at will: cuse-node.c, compiled where it runs. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { eventually } from '../../addon/process.js';
import { provide } from './kernel-modules.js';

/** The TypeScript compiler leaves them where they are. */
const SOURCES = ['cuse-node.c', 'cuse-camera.c'].map((name) =>
  fileURLToPath(new URL(`../../../../test/lab/support/${name}`, import.meta.url)),
);
/** Numbers that no driver of the lab comes to. */
let number = 200;
let program: string | undefined;

/** What can be held back: an operation on the file, every one, or an ioctl by its number. */
export type Held = 'open' | 'close' | 'poll' | 'all' | number;

export class CuseNode {
  /** Requests that have begun to wait, since the node is there. */
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

  /** Makes the node; skips the suite of `context` where that cannot be done. */
  static async make(context: Mocha.Context): Promise<CuseNode> {
    provide(context, 'cuse');
    program ??= compile();
    const name = `video${number++}`;
    const child = spawn(program, [name], { stdio: ['pipe', 'pipe', 'inherit'] });
    const node = new CuseNode(`/dev/${name}`, child);
    assert.ok(await eventually(() => node.#answers === 1, 5000), 'the node does not appear');
    return node;
  }

  /** From the moment that it resolves, none of it is answered. */
  hold(what: Held): Promise<void> {
    return this.#obeys(`hold ${what}`);
  }

  /** From the moment that it resolves, every ioctl takes so many milliseconds. */
  slow(milliseconds: number): Promise<void> {
    return this.#obeys(`slow ${milliseconds}`);
  }

  /** Resolves when `count` more requests wait. */
  async waits(count = 1, from = this.held): Promise<void> {
    assert.ok(await eventually(() => this.held >= from + count, 5000), 'nothing waits');
  }

  /** Everything that was held is done, and nothing is slow. */
  heal(): Promise<void> {
    return this.#obeys('well');
  }

  async #obeys(command: string): Promise<void> {
    const before = this.#answers;
    this.child.stdin!.write(`${command}\n`);
    assert.ok(await eventually(() => this.#answers > before, 5000), 'the node does not obey');
  }

  /** Whoever still waits is told ECONNABORTED by the kernel. */
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
