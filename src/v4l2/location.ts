/**
 * Where a node is now. If its registration has changed, it is searched for in sysfs, or the operator's name is followed.
 */
import { statSync } from 'node:fs';
import { lstat, realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Errno } from '../errno.js';
import { log } from '../log.js';
import { type Failure, failure, isFailure, type Result } from '../result.js';
import { deviceFolder, hostNodes, hostRoots, nodeOfNumber, type Roots, usbOf } from './discovery.js';
import {
  absenceOf,
  findSameNode,
  type IdentityMark,
  identityText,
  isSameNode,
  markOf,
  type NodeIdentity,
} from './identity.js';
import { failureOf, otherwise } from './refusal.js';

/** Path of an inherited descriptor. It does not lead to the device when the device comes back. */
const inherited = /^\/proc\/(self|\d+)\/fd\/\d+$/;

const GONE = 'its device is gone';

/** An identity, and the path at which it was found. */
interface Found extends NodeIdentity {
  readonly path: string;
}

/** The place of one node: its path, its registration and the identity by which it is found again. */
export class Location {
  /** Where the operator's name leads to. Followed only if the name identifies the node. Empty: nowhere. */
  #target: string;
  #absence = GONE;

  private constructor(
    private readonly given: string,
    private readonly roots: Roots,
    private currentPath: string,
    private registration: string,
    private identity: NodeIdentity | null,
    /** What identifies the node. */
    readonly mark: IdentityMark,
  ) {
    this.#target = currentPath;
  }

  /** The location of an open node. `given`: the path that the operator gave. Rejects if the path is gone. */
  static async of(given: string, roots: Roots = hostRoots): Promise<Location> {
    const isInherited = inherited.test(given);
    const path = isInherited ? given : await realpath(given);
    const { rdev } = await stat(path);
    const identity = await identityOf(rdev, roots);
    const isNode = isInherited || resolve(given) === identity?.path;
    const isLink = !isNode && (await lstat(given)).isSymbolicLink();
    const mark = identity ? await surestMark(given, identity, isLink, roots) : isLink ? 'name' : 'path';
    return new Location(given, roots, path, registrationOf(path, roots), identity, mark);
  }

  /** The path to open. */
  get path(): string {
    return this.currentPath;
  }

  /** What identifies the node, in words. */
  get text(): string {
    if (inherited.test(this.given)) return 'the inherited descriptor, until the device is unplugged';
    return identityText(this.given, this.identity, this.mark);
  }

  /** Whether no device is behind the node: it is a program of the host that makes it what it is (v4l2loopback). */
  get isVirtual(): boolean {
    return this.identity?.entry.device === '';
  }

  /** Why the node was not found at the last search, in a sentence without a full stop. */
  get absence(): string {
    return this.#absence;
  }

  /**
   * What identifies the node now. If the operator's name leads nowhere, that is the device that it led to: whatever a
   * udev rule goes by, it gives the name to that one again.
   */
  get sought(): IdentityMark {
    return this.mark === 'name' && this.#target === '' ? 'camera' : this.mark;
  }

  /** Follows the operator's name again, if the name identifies the node. */
  async follow(): Promise<void> {
    if (this.mark === 'name') this.#target = await realpath(this.given).catch(otherwise(''));
  }

  /** Whether the node's registration in the kernel is the one that was seen last. An open node keeps its number. */
  isCurrent(): boolean {
    if (this.sought === 'name' && this.#target !== this.path) return false;
    return this.registration !== '' && registrationOf(this.path, this.roots) === this.registration;
  }

  /**
   * Where the node seems to be now. The caller must open the path and check that it is the same node. ENODEV: the node
   * is not found. If sysfs did not show the node at the start, its path never changes.
   */
  async search(): Promise<Result<string>> {
    const { given, identity, mark, sought } = this;
    if (sought === 'name') return this.#target;
    if (!identity) return this.path;
    if (inherited.test(given))
      return this.#absent('the device of an inherited descriptor is gone: start the bridge anew');
    const all = await allNodes(this.roots).catch(failureOf);
    if (isFailure(all)) return all;
    const found = findSameNode(identity, all, sought);
    if (found) return found.path;
    const absence = absenceOf(identity, all, sought);
    return this.#absent(sought === mark ? absence : `${given} leads nowhere, and ${absence}`);
  }

  /** Whether the node at `path` is the one. The caller has it open, so that its number stays its own. */
  async verify(path: string): Promise<boolean> {
    const { identity, sought } = this;
    const found = await identityOf((await stat(path)).rdev, this.roots);
    if (sought !== 'name' && identity && !(found && isSameNode(identity, found, sought))) return false;
    if (sought === 'port' && found && identity && found.serial !== identity.serial)
      log.warn('another device of its model has its port', { device: this.given, serial: found.serial });
    if (sought === 'port' || sought === 'name') this.identity = found;
    return true;
  }

  /** Records that what was found at `path` is not the node. Returns ENODEV. */
  refused(path: string): Failure {
    return this.#absent(`what is at ${path} now is another device`);
  }

  /** Records that the node was found at `path` and is open. Returns whether its registration is new. */
  moved(path: string): boolean {
    this.currentPath = path;
    this.#absence = GONE;
    const registration = registrationOf(path, this.roots);
    if (registration === this.registration) return false;
    this.registration = registration;
    log.info('the device is back', { device: this.given, at: path });
    return true;
  }

  #absent(reason: string): Failure {
    this.#absence = reason;
    return failure(Errno.ENODEV);
  }
}

/** null: sysfs does not show a node of this number. */
async function identityOf(rdev: number, roots: Roots): Promise<Found | null> {
  const entry = await nodeOfNumber(rdev, roots);
  return entry ? { entry, ...(await usbOf(entry)), path: entry.path } : null;
}

async function allNodes(roots: Roots): Promise<Found[]> {
  const nodes = await hostNodes(roots);
  return Promise.all(nodes.map(async (entry) => ({ entry, ...(await usbOf(entry)), path: entry.path })));
}

/** The mark for the operator's path. A serial number that two devices have does not identify one of them. */
async function surestMark(
  given: string,
  identity: NodeIdentity,
  isLink: boolean,
  roots: Roots,
): Promise<IdentityMark> {
  const mark = markOf(given, identity, isLink);
  if (mark !== 'serial') return mark;
  const same = (await allNodes(roots)).filter((found) => isSameNode(identity, found, mark));
  if (same.length <= 1) return mark;
  const fields = { device: given, serial: identity.serial };
  log.warn('several devices have this serial number: the port identifies the device', fields);
  return 'camera';
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
