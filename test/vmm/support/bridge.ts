/** The product as its user runs it: `virtio-media-bridge serve` in a process of its own. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Exit, Program } from './program.js';

const CLI = fileURLToPath(new URL('../../../src/cli.js', import.meta.url));
const START_TIMEOUT_MS = 60_000;
const POLL_MS = 20;

export class Bridge {
  readonly program: Program;
  readonly socket: string;
  readonly #folder: string;

  private constructor(
    folder: string,
    device: string,
    options: readonly string[],
    preloaded: readonly string[],
  ) {
    this.#folder = folder;
    this.socket = join(folder, 'vhost-user');
    const words = ['serve', '--device', device, '--socket-path', this.socket, ...options];
    const node = preloaded.flatMap((module) => ['--import', module]);
    this.program = new Program('the bridge', process.execPath, [...node, CLI, ...words]);
  }

  /** Resolves when it listens. Rejects with its output if it ends instead. */
  static serve(device: string, ...options: string[]): Promise<Bridge> {
    return Bridge.sabotaged([], device, ...options);
  }

  /** As `serve`, with additional modules loaded into its process. `preloaded`: file URLs. */
  static async sabotaged(
    preloaded: readonly string[],
    device: string,
    ...options: string[]
  ): Promise<Bridge> {
    const bridge = new Bridge(mkdtempSync(join(tmpdir(), 'vmb-bridge-')), device, options, preloaded);
    try {
      await bridge.program.during('start', START_TIMEOUT_MS, bridge.#listening());
      return bridge;
    } catch (error) {
      await bridge.close();
      throw error;
    }
  }

  /** Sends SIGTERM. Resolves to how the process ended. */
  async stop(timeout: number): Promise<Exit> {
    this.program.signal('SIGTERM');
    return this.program.end(timeout);
  }

  /** Releases everything. Kills the process if it still runs. */
  async close(): Promise<void> {
    await this.program.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /**
   * Wait for its output: it prints the VMM's options when everything is open. The socket file may exist before it
   * listens.
   */
  async #listening(): Promise<void> {
    while (this.program.alive && !(existsSync(this.socket) && this.program.stdout !== ''))
      await delay(POLL_MS);
  }
}
