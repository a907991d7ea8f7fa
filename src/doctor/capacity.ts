/** Whether the limits of the process and the memory of the host are enough for the limits that a configuration gives its guests. */
import { join } from 'node:path';
import { bytesText } from './bytes.js';
import { type Finding, ok, warning } from './finding.js';
import { limitOf } from './limits.js';
import { textOf } from './text-file.js';

/** What the guest of one node may use. */
export interface NodeNeeds {
  /** Whether each session has queues of its own (a codec, a converter). Otherwise one session has the device's buffers. */
  readonly ownQueues: boolean;
  readonly maxSessions: number;
  /** Buffers of a queue. */
  readonly maxBuffers: number;
  readonly sharedPages: boolean;
  /** Bytes of SHM region 0. */
  readonly sharedMemorySize: number;
  /** Bytes of all buffers. */
  readonly maxDeviceBytes: number;
}

/** Descriptors and mappings of the program itself, before it has a guest. */
const OWN_DESCRIPTORS = 64;
const OWN_MAPPINGS = 1000;
/** Descriptors of a VMM: sockets, memory regions, rings, the arena. */
const VMM_DESCRIPTORS = 64;
/** Pieces of guest memory that a device may join (docs/errors.md). */
const JOINED_PIECES = 8192;

const LIMITS = 'docs/security.md#limits';

/** `nodes`: of one process. Empty: nothing is found. */
export async function capacityFindings(root: string, nodes: readonly NodeNeeds[]): Promise<Finding[]> {
  if (nodes.length === 0) return [];
  return [
    await descriptors(root, nodes),
    await mappings(root, nodes),
    await memoryFiles(root, nodes),
    await memory(root, nodes),
  ];
}

/** The most buffers of a node: two queues of each session, or one queue. */
const buffersOf = ({ ownQueues, maxSessions, maxBuffers }: NodeNeeds): number =>
  ownQueues ? 2 * maxSessions * maxBuffers : maxBuffers;

const sum = (nodes: readonly NodeNeeds[], of: (node: NodeNeeds) => number): number =>
  nodes.reduce((total, node) => total + of(node), 0);

/** A session has an open file, and each buffer that needs no copy has a DMABUF. */
async function descriptors(root: string, nodes: readonly NodeNeeds[]): Promise<Finding> {
  const needed = OWN_DESCRIPTORS + sum(nodes, (node) => VMM_DESCRIPTORS + node.maxSessions + buffersOf(node));
  const found = await limitOf(root, 'Max open files');
  if (found !== null && found < needed)
    return warning(
      'descriptors needed',
      `the guests may need ${needed}, a process may have ${found}`,
      'raise LimitNOFILE, lower max-sessions or max-buffers, or give each VM a process (serve --vm)',
      LIMITS,
    );
  return ok('descriptors needed', `the guests may need ${needed}`);
}

async function mappings(root: string, nodes: readonly NodeNeeds[]): Promise<Finding> {
  const needed =
    OWN_MAPPINGS + sum(nodes, (node) => buffersOf(node) + (node.sharedPages ? JOINED_PIECES : 0));
  const found = (await textOf(join(root, 'proc/sys/vm/max_map_count')))?.trim();
  if (found !== undefined && Number(found) < needed)
    return warning(
      'mappings needed',
      `the guests may need ${needed}, a process may have ${found}`,
      'raise the sysctl vm.max_map_count, lower max-sessions or max-buffers, or give each VM a process (serve --vm)',
      LIMITS,
    );
  return ok('mappings needed', `the guests may need ${needed}`);
}

/** SHM region 0 of a node is one memory file, whose size counts as that of any file. */
async function memoryFiles(root: string, nodes: readonly NodeNeeds[]): Promise<Finding> {
  const largest = Math.max(...nodes.map(({ sharedMemorySize }) => sharedMemorySize));
  const found = await limitOf(root, 'Max file size');
  if (found !== null && found < largest)
    return warning(
      'memory files',
      `the largest needs ${bytesText(largest)}, a file may have ${bytesText(found)}`,
      'raise LimitFSIZE (a unit) or `ulimit -f` (a shell), or lower shm-size',
      LIMITS,
    );
  return ok('memory files', `the largest needs ${bytesText(largest)}`);
}

/** Buffers take memory when a guest makes them, not before. */
async function memory(root: string, nodes: readonly NodeNeeds[]): Promise<Finding> {
  const most = sum(nodes, ({ maxDeviceBytes }) => maxDeviceBytes);
  const [, kibibytes] = /^MemTotal:\s+(\d+) kB/m.exec((await textOf(join(root, 'proc/meminfo'))) ?? '') ?? [];
  const total = kibibytes === undefined ? Number.POSITIVE_INFINITY : Number(kibibytes) * 1024;
  if (most > total)
    return warning(
      'memory',
      `buffers of the guests may take ${bytesText(most)}, the host has ${bytesText(total)}`,
      'lower max-device-bytes, or trust the guests not to use it up',
      LIMITS,
    );
  return ok('memory', `buffers of the guests take ${bytesText(most)} at most`);
}
