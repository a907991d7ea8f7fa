/** Where a node is at the moment. It is looked for anew, in sysfs, when it is no longer registered as it was. */
import { statSync } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { log } from '../log.js';
import { deviceFolder, hostNodes, hostRoots, nodeOfNumber, type Roots, serialOf } from './discovery.js';
import { findSameNode, type IdentityMark, markOf, type NodeIdentity } from './identity.js';

/** An inherited descriptor: nothing leads from it to the device when that comes back. */
const inherited = /^\/proc\/(self|\d+)\/fd\/\d+$/;

/** An identity, and where in the file system it was found. */
interface Found extends NodeIdentity {
  readonly path: string;
}

export class Location {
  private constructor(
    private readonly given: string,
    private readonly roots: Roots,
    private currentPath: string,
    private registration: string,
    private readonly identity: NodeIdentity | null,
  ) {}

  /** The location of an open node. `given`: the operator's path of it. */
  static async of(given: string, roots: Roots = hostRoots): Promise<Location> {
    const path = inherited.test(given) ? given : await realpath(given);
    const { rdev } = await stat(path);
    const entry = await nodeOfNumber(rdev, roots);
    const identity = entry ? { entry, serial: await serialOf(entry) } : null;
    return new Location(given, roots, path, registrationOf(path, roots), identity);
  }

  /** What to open. */
  get path(): string {
    return this.currentPath;
  }

  /** What tells the device from another one of its model. */
  get mark(): IdentityMark {
    return this.identity ? markOf(this.given, this.identity) : 'port';
  }

  /** Whether the kernel has the node registered as when it was last seen. A node that is open keeps its number. */
  isCurrent(): boolean {
    return this.registration !== '' && registrationOf(this.path, this.roots) === this.registration;
  }

  /**
   * Where the node seems to be now: what is there is yet to be asked whether it is the same. Null: it is nowhere. A
   * node that sysfs does not show has its path only.
   */
  async search(): Promise<string | null> {
    const { identity } = this;
    if (!identity) return this.path;
    if (inherited.test(this.given)) return null;
    const nodes = await hostNodes(this.roots);
    const all = nodes.map(async (entry): Promise<Found> => {
      return { entry, serial: await serialOf(entry), path: entry.path };
    });
    return findSameNode(identity, await Promise.all(all), this.mark)?.path ?? null;
  }

  /** It was found at `path`, and is open. Whether that is news. */
  moved(path: string): boolean {
    this.currentPath = path;
    const registration = registrationOf(path, this.roots);
    if (registration === this.registration) return false;
    this.registration = registration;
    log.info('the device is back', { device: this.given, at: path });
    return true;
  }
}

/**
 * What one registration of a node has to itself: the inode of its folder in sysfs. Empty: there is none. Neither /dev nor
 * sysfs makes stat(2) wait, and a turn of the thread pool takes longer.
 */
function registrationOf(path: string, roots: Roots): string {
  try {
    const { rdev } = statSync(path);
    const { ino } = statSync(deviceFolder(rdev, roots), { bigint: true });
    return `${rdev} ${ino}`;
  } catch {
    return '';
  }
}
