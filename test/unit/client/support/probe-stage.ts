/** The command `probe` against a fake back-end. */
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { probe } from '../../../../src/cli/probe.js';
import { type FdPoller, native } from '../../../../src/native.js';
import { FakeBackend, type FakeOptions } from './fake-backend.js';
import { cameraConfig, FakeCamera } from './fake-camera.js';

/** The options of `probe` where nothing else is given. */
export const given = {
  socket: '',
  frames: '30',
  transcode: undefined,
  output: undefined,
  damaged: undefined,
  format: undefined,
  size: undefined,
  json: undefined,
  timeout: '5',
};

export class ProbeStage {
  readonly directory = mkdtempSync(join(tmpdir(), 'probe-'));
  readonly socket = join(this.directory, 'bridge.sock');
  /** Of the back-ends that serve from now on. */
  options: FakeOptions = { config: cameraConfig, device: new FakeCamera().device };
  /** What the last run() printed on stdout. */
  printed = '';
  readonly #listener = native.listen(this.socket);
  readonly #backends: FakeBackend[] = [];
  #poller: FdPoller;

  constructor() {
    this.#poller = this.#listen((backend) => this.#backends.push(backend));
  }

  /** Numbers of the requests that the back-ends have received. */
  get requests(): number[] {
    return this.#backends.flatMap(({ sequence }) => sequence);
  }

  /** From now on, `accept` decides on each back-end. */
  accept(accept: (backend: FakeBackend) => void): void {
    this.#poller.close();
    this.#poller = this.#listen(accept);
  }

  /** A camera from now on. */
  camera(fourcc?: string): FakeCamera {
    const camera = new FakeCamera(fourcc);
    this.options = { config: cameraConfig, device: camera.device };
    return camera;
  }

  /** Output of the command on stdout. */
  async run(more: Record<string, unknown>): Promise<string> {
    const lines: string[] = [];
    const { log } = console;
    const { write } = process.stderr;
    console.log = (line: string) => lines.push(line);
    process.stderr.write = () => true;
    try {
      await probe.handler({ _: [], $0: '', ...given, socket: this.socket, ...more } as never);
    } finally {
      console.log = log;
      process.stderr.write = write;
      this.printed = lines.join('\n');
    }
    return this.printed;
  }

  close(): void {
    this.#poller.close();
    closeSync(this.#listener);
    for (const backend of this.#backends) backend.close();
    rmSync(this.directory, { recursive: true });
  }

  #listen(accept: (backend: FakeBackend) => void): FdPoller {
    const poller = new native.FdPoller(this.#listener, () => {
      accept(new FakeBackend(native.accept(this.#listener), this.options));
    });
    poller.watch(1);
    return poller;
  }
}
