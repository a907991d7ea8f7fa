/** One QEMU without a CPU: qtest takes the guest's place. Its RAM is a file that this process maps as well. */
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GuestRam } from '../../../src/client/pieces.js';
import { regionView } from '../../../src/client/region-view.js';
import { native, type Region } from '../../../src/native.js';
import { type Exit, Program } from './program.js';
import { Qmp } from './qmp.js';
import { Qtest } from './qtest.js';

export const QEMU_BINARY = 'qemu-system-x86_64';
export const QEMU_DEVICE = 'vhost-user-test-device-pci';
/**
 * QEMU 11.1.3 aborts on 48, the number of a media device, because its table of names ends at 45. Only the PCI device id
 * depends on this number.
 */
export const VIRTIO_ID = 45;
export const RAM_SIZE = 64 << 20;

const START_TIMEOUT_MS = 60_000;

export interface Shape {
  /** `pc`: its only PCI bus supports hot-plug, which the root bus of q35 does not. */
  readonly machine: 'q35' | 'pc';
  /** Bytes of RAM that can be added later. */
  readonly moreRam: number;
}

/** The device behind the vhost-user socket: ids of its function and slot, as device_del and device_add name them. */
export const DEVICE = { id: 'vmb', slot: 5 } as const;

export class Qemu implements GuestRam {
  readonly program: Program;
  readonly qtest: Qtest;
  readonly qmp: Qmp;
  readonly #ram: Region;

  private constructor(program: Program, ram: Region, qtest: Qtest, qmp: Qmp) {
    this.program = program;
    this.#ram = ram;
    this.qtest = qtest;
    this.qmp = qmp;
  }

  /** A machine with one device behind the vhost-user socket. Rejects with QEMU's error message. */
  static async start(vhostUserSocket: string, shape: Partial<Shape> = {}): Promise<Qemu> {
    const folder = mkdtempSync(join(tmpdir(), 'vmb-qemu-'));
    const ramPath = join('/dev/shm', `vmb-ram-${process.pid}-${folder.slice(-6)}`);
    const servers = ['qtest', 'qmp'].map((name) => createServer().listen(join(folder, name)));
    const ram = createRam(ramPath);
    const program = new Program('QEMU', QEMU_BINARY, options(folder, ramPath, vhostUserSocket, shape));
    try {
      const [qtest, qmp] = await program.during('start', START_TIMEOUT_MS, connections(servers));
      return new Qemu(program, ram, qtest, qmp);
    } catch (error) {
      ram.close();
      await program.kill();
      throw error;
    } finally {
      for (const server of servers) server.close();
      // QEMU and this process have all files open by now. Remove them, so that nothing is left however the tests end.
      rmSync(folder, { recursive: true });
      rmSync(ramPath);
    }
  }

  view(address: number, length: number): Uint8Array {
    return regionView(this.#ram, address, length);
  }

  /** Ends it as an operator would, by QMP. */
  async quit(): Promise<Exit> {
    // It closes the connection instead of answering.
    await this.qmp.execute('quit').catch(() => undefined);
    return this.program.end();
  }

  /** Releases everything. Kills the process if it still runs. */
  async close(): Promise<void> {
    await this.program.kill();
    this.qtest.close();
    this.qmp.close();
    this.#ram.close();
  }
}

function createRam(path: string): Region {
  writeFileSync(path, '');
  truncateSync(path, RAM_SIZE);
  const fd = openSync(path, 'r+');
  try {
    return new native.Region(fd, 0, RAM_SIZE);
  } finally {
    closeSync(fd);
  }
}

/** QMP sends its greeting when the device is realized; the qtest socket is there before. */
async function connections(servers: readonly Server[]): Promise<[Qtest, Qmp]> {
  const sockets = await Promise.all(servers.map((server) => once(server, 'connection')));
  const [[qtest], [qmp]] = sockets as [[Socket], [Socket]];
  return [new Qtest(qtest), await Qmp.greet(qmp)];
}

/** The device's properties; their form is the same on a command line and in QMP. */
export const DEVICE_PROPERTIES = {
  driver: QEMU_DEVICE,
  id: DEVICE.id,
  chardev: 'vhost',
  addr: `${DEVICE.slot}`,
  'virtio-id': VIRTIO_ID,
  num_vqs: 2,
  vq_size: 256,
  config_size: 40,
} as const;

function options(
  folder: string,
  ramPath: string,
  vhostUserSocket: string,
  { machine = 'q35', moreRam = 0 }: Partial<Shape>,
): string[] {
  const ram = `memory-backend-file,id=ram,size=${RAM_SIZE},mem-path=${ramPath},share=on`;
  const { driver, ...properties } = DEVICE_PROPERTIES;
  const device = [driver, ...Object.entries(properties).map((each) => each.join('='))].join(',');
  const size = [`${RAM_SIZE >> 20}M`, ...(moreRam ? [`slots=1,maxmem=${(RAM_SIZE + moreRam) >> 20}M`] : [])];
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-accel', 'qtest'],
    ...['-machine', `${machine},memory-backend=ram`, '-m', size.join(','), '-object', ram],
    ...['-chardev', `socket,id=vhost,path=${vhostUserSocket}`, '-device', device],
    ...['-qtest', `unix:${folder}/qtest`, '-qtest-log', 'none', '-qmp', `unix:${folder}/qmp`],
  ];
}
