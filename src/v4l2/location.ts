/** Where a node is now. If its registration has changed, it is searched for in sysfs. */
import { statSync } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { Errno } from '../errno.js';
import { log } from '../log.js';
import { failure, type Result } from '../result.js';
import { deviceFolder, hostNodes, hostRoots, nodeOfNumber, type Roots, serialOf } from './discovery.js';
import { findSameNode, type IdentityMark, markOf, type NodeIdentity } from './identity.js';
import { failureOf } from './refusal.js';

/** Path of an inherited descriptor. It does not lead to the device when the device comes back. */
const inherited = /^\/proc\/(self|\d+)\/fd\/\d+$/;

/** An identity, and the path at which it was found. */
interface Found extends NodeIdentity {
  readonly path: string;
}

/** The place of one node: its path, its registration and the identity by which it is found again. */
export class Location {
  private constructor(
    private readonly given: string,
    private readonly roots: Roots,
    private currentPath: string,
    private registration: string,
    private readonly identity: NodeIdentity | null,
  ) {}

  /** The location of an open node. `given`: the path that the operator gave. Rejects if the path is gone. */
  static async of(given: string, roots: Roots = hostRoots): Promise<Location> {
    const path = inherited.test(given) ? given : await realpath(given);
    const { rdev } = await stat(path);
    const entry = await nodeOfNumber(rdev, roots);
    const identity = entry ? { entry, serial: await serialOf(entry) } : null;
    return new Location(given, roots, path, registrationOf(path, roots), identity);
  }

  /** The path to open. */
  get path(): string {
    return this.currentPath;
  }

  /** How the device is told apart from another device of its model. */
  get mark(): IdentityMark {
    return this.identity ? markOf(this.given, this.identity) : 'port';
  }

  /** Whether the node's registration in the kernel is the one that was seen last. An open node keeps its number. */
  isCurrent(): boolean {
    return this.registration !== '' && registrationOf(this.path, this.roots) === this.registration;
  }

  /**
   * Where the node seems to be now. The caller must open the path and check that it is the same node. ENODEV: the node
   * is not found. If sysfs did not show the node at the start, its path never changes.
   */
  async search(): Promise<Result<string>> {
    const { identity } = this;
    if (!identity) return this.path;
    if (inherited.test(this.given)) return failure(Errno.ENODEV);
    try {
      const nodes = await hostNodes(this.roots);
      const all = nodes.map(async (entry): Promise<Found> => {
        return { entry, serial: await serialOf(entry), path: entry.path };
      });
      return findSameNode(identity, await Promise.all(all), this.mark)?.path ?? failure(Errno.ENODEV);
    } catch (error) {
      return failureOf(error);
    }
  }

  /** Records that the node was found at `path` and is open. Returns whether its registration is new. */
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
 * Names one registration of a node: its number, and the inode of its folder in sysfs. Empty: the node is not
 * registered. The calls are synchronous, because stat(2) does not wait in /dev and sysfs, and a turn of the thread
 * pool takes longer.
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
