/** What the bridge needs of the host, whatever it serves. */
import { join } from 'node:path';
import { BUILD_ADDON } from '../package.js';
import { type Finding, failure, ok, warning } from './finding.js';
import { textOf } from './text-file.js';

/** Where the facts come from. The tests have a host of their own. */
export interface Host {
  /** Root of the file system. */
  readonly root: string;
  /** uname -r: `6.12.43+deb13-amd64`. */
  readonly release: string;
  /** process.version: `v20.19.2`. */
  readonly node: string;
  /** Loads the native addon. Throws as require() does. */
  loadAddon(): Promise<unknown>;
}

/** Kernels as docs/installation.md has them. Node itself needs the first one. */
const OLDEST_KERNEL = [4, 18];
const MEDIA_REQUESTS = [4, 20];
const OLDEST_NODE = [20, 19];
/** A session of a guest has up to a hundred descriptors (buffers that are exported), and a guest may have many. */
const FEW_DESCRIPTORS = 4096;
/** Every mapping of a buffer, of guest memory and of a library is one. The kernel's own default. */
const USUAL_MAPPINGS = 65_530;

const INSTALLATION = 'docs/installation.md#what-it-needs';
const LIMITS = 'docs/security.md#limits';

export async function hostFindings(host: Host): Promise<Finding[]> {
  return [
    kernel(host.release),
    node(host.node),
    await addon(host),
    await descriptors(host),
    await mappings(host),
  ];
}

function kernel(release: string): Finding {
  if (isBefore(release, OLDEST_KERNEL))
    return failure('kernel', `Linux ${release}`, 'Linux 4.18 or later is needed', INSTALLATION);
  if (isBefore(release, MEDIA_REQUESTS))
    return warning(
      'kernel',
      `Linux ${release} has no media requests`,
      'a stateless codec needs Linux 4.20 or later; everything else works',
      INSTALLATION,
    );
  return ok('kernel', `Linux ${release}`);
}

function node(version: string): Finding {
  if (isBefore(version.slice(1), OLDEST_NODE))
    return failure('node', `Node ${version}`, 'Node 20.19 or later is needed', INSTALLATION);
  return ok('node', `Node ${version}`);
}

/** Whether a version with numbers and dots is older than `oldest`. */
function isBefore(version: string, oldest: readonly number[]): boolean {
  const numbers = version.split(/\D+/).map(Number);
  for (const [index, least] of oldest.entries()) {
    const own = numbers[index] ?? 0;
    if (own !== least) return own < least;
  }
  return false;
}

async function addon(host: Host): Promise<Finding> {
  try {
    await host.loadAddon();
    return ok('addon', 'the native addon loads');
  } catch (error) {
    const [reason] = String((error as Error).message).split('\n');
    return failure(
      'addon',
      `the native addon does not load: ${reason}`,
      BUILD_ADDON,
      'docs/installation.md#from-source',
    );
  }
}

/** Node has raised the limit to the hard one already. */
async function descriptors({ root }: Host): Promise<Finding> {
  const limits = (await textOf(join(root, 'proc/self/limits'))) ?? '';
  const [, found] = /^Max open files\s+(\S+)/m.exec(limits) ?? [];
  if (found === undefined) return ok('descriptors', 'the limit cannot be seen');
  if (Number(found) < FEW_DESCRIPTORS)
    return warning(
      'descriptors',
      `a process may have ${found}`,
      'raise LimitNOFILE (a unit) or `ulimit -Hn` (a shell) to 65536',
      LIMITS,
    );
  return ok('descriptors', `a process may have ${found}`);
}

async function mappings({ root }: Host): Promise<Finding> {
  const found = (await textOf(join(root, 'proc/sys/vm/max_map_count')))?.trim();
  if (found === undefined) return ok('mappings', 'the limit cannot be seen');
  if (Number(found) < USUAL_MAPPINGS)
    return warning(
      'mappings',
      `a process may have ${found}`,
      `set the sysctl vm.max_map_count to ${USUAL_MAPPINGS} or more: each buffer of a guest may be a mapping`,
      LIMITS,
    );
  return ok('mappings', `a process may have ${found}`);
}
