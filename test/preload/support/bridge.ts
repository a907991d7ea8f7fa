/**
 * A node that the bridge serves in this process, and the environment in which a program opens it instead of the node
 * itself.
 */
import { readdirSync, statSync } from 'node:fs';
import { DEFAULT_SHARED_MEMORY, sharedMemorySize } from '../../../src/cli/size.js';
import { Daemon, type ServeOptions } from '../../../src/daemon.js';
import { plainly } from '../../lab/support/serve-options.js';

/** Built by build.sh on the host before the machine is started. */
function library(): string {
  const folder = 'build/preload';
  const built = readdirSync(folder)
    .map((name) => `${process.cwd()}/${folder}/${name}/libv4l2-node.so`)
    .sort((a, b) => statSync(a).mtimeMs - statSync(b).mtimeMs);
  const newest = built.at(-1);
  if (!newest) throw new Error('there is no preload library: test/preload/build.sh makes it');
  return newest;
}

/** Environment of a child process in which opening the device reaches the back-end at the socket. */
export const preloaded = (device: string, socket: string): NodeJS.ProcessEnv => ({
  ...process.env,
  LD_PRELOAD: library(),
  VMB_PRELOAD: `${device}=${socket}`,
});

let sockets = 0;

export class Bridge {
  private constructor(
    private readonly device: string,
    private readonly socket: string,
    private readonly daemon: Daemon,
  ) {}

  static async open(device: string, options: Partial<ServeOptions> = {}): Promise<Bridge> {
    const socket = `/tmp/vmb-preload-${process.pid}-${sockets++}.sock`;
    const pairs = [{ device, socket: { path: socket } }];
    const size = sharedMemorySize(DEFAULT_SHARED_MEMORY);
    const daemon = new Daemon(plainly(pairs, size, { sharedPages: true, ...options }));
    await daemon.start();
    return new Bridge(device, socket, daemon);
  }

  /**
   * Environment of a child process in which opening the device reaches the bridge. `driver`: the driver's name in
   * QUERYCAP.
   */
  environment(
    options: { vmm?: 'qemu' | 'crosvm'; objects?: boolean; driver?: string; media?: string } = {},
  ): NodeJS.ProcessEnv {
    return {
      ...preloaded(this.device, this.socket),
      VMB_PRELOAD_VMM: options.vmm ?? 'qemu',
      ...(options.objects && { VMB_PRELOAD_OBJECTS: '1' }),
      ...(options.driver && { VMB_PRELOAD_DRIVER: options.driver }),
      ...(options.media && { VMB_PRELOAD_MEDIA: `${options.media}=${this.device}` }),
    };
  }

  close(): Promise<void> {
    return this.daemon.stop();
  }
}
