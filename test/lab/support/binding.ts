/** Unbinds a driver from a device and binds it again, by sysfs. */
import { realpathSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

/** A driver and one of its devices, as the node's folder in sysfs names them. */
export class Binding {
  readonly #driver: string;
  readonly #device: string;

  constructor(node: string) {
    const folder = join('/sys/class/video4linux', basename(node), 'device');
    this.#driver = realpathSync(join(folder, 'driver'));
    this.#device = basename(realpathSync(folder));
  }

  unbind(): Promise<void> {
    return writeFile(join(this.#driver, 'unbind'), this.#device);
  }

  bind(): Promise<void> {
    return writeFile(join(this.#driver, 'bind'), this.#device);
  }
}
