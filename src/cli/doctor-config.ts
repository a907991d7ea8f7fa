/** What `doctor` finds about a configuration: its faults, each node and socket of it, and whether the limits are enough. */
import { resolve } from 'node:path';
import { type Served, servedOf } from '../config/change.js';
import { textOf, valuesOf } from '../config/configuration.js';
import { ConfigurationError } from '../config/file.js';
import { capacityFindings, type NodeNeeds } from '../doctor/capacity.js';
import { absentFinding, faultFinding } from '../doctor/devices.js';
import { type Finding, ok } from '../doctor/finding.js';
import { socketFinding } from '../doctor/sockets.js';
import { findNode } from '../v4l2/discovery.js';
import type { Kind } from '../v4l2/kind.js';
import { nodeFlags } from './config-keys.js';
import { plain, type Read, sourceOf } from './config-source.js';
import { policyOf } from './policy.js';
import { serveOptions } from './serve.js';

/** `hasAddon`: nodes can be opened. */
export async function configurationFindings(path: string, hasAddon: boolean): Promise<Finding[]> {
  const file = resolve(path);
  const { configuration, faults } = await readOf(file);
  if (!configuration || faults.length > 0) return faults;
  const served = servedOf(configuration);
  const looks = await Promise.all(served.map((each) => look(each, hasAddon)));
  const sockets = served.flatMap(({ node }) => textOf(node.settings, 'socket-path') ?? []);
  const vms = configuration.vms.map(({ name }) => name).join(', ');
  return [
    ok(file, `nothing is wrong with it; its VMs: ${vms}`),
    ...looks.flatMap(({ findings }) => findings),
    ...(await Promise.all(sockets.map(socketFinding))),
    ...(await capacityFindings(
      '/',
      looks.map(({ needs }) => needs),
    )),
  ];
}

/** The configuration, and its faults as findings. */
async function readOf(file: string): Promise<{ configuration?: Read['configuration']; faults: Finding[] }> {
  const { readWithAccounts } = await import('./config-faults.js');
  try {
    const { configuration, faults } = await readWithAccounts(sourceOf({}, [], file));
    const findings = faults.map(({ line, column, sentence }) =>
      faultFinding(`${file}:${line}:${column}`, sentence),
    );
    return { configuration, faults: findings };
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return { faults: [faultFinding(file, error.message.replace(`${file} `, ''))] };
  }
}

/** An inherited descriptor is not there yet, so nothing can be said of it. */
async function look({ node }: Served, hasAddon: boolean): Promise<{ findings: Finding[]; needs: NodeNeeds }> {
  const device = textOf(node.settings, 'device');
  const settings = valuesOf(node.settings);
  if (device === undefined || !hasAddon) return { findings: [], needs: needsOf(settings, undefined) };
  const entry = await findNode(device);
  if (!entry) return { findings: [await absentFinding('/', device)], needs: needsOf(settings, undefined) };
  const { survey, findings } = await (await import('./doctor-node.js')).lookAt(entry, true);
  return { findings, needs: needsOf(settings, survey.kind) };
}

/** Kinds of devices each of whose sessions has queues of its own. */
const memToMem: ReadonlySet<Kind> = new Set([
  'stateful encoder',
  'stateful decoder',
  'stateless decoder',
  'codec',
  'converter',
]);

/** `kind`: undefined if the node cannot be seen; it counts as one of a camera. */
function needsOf(settings: Readonly<Record<string, unknown>>, kind: Kind | undefined): NodeNeeds {
  const own = Object.entries(settings).filter(([name]) => !(nodeFlags as readonly string[]).includes(name));
  const values = Object.fromEntries(own);
  const { sharedMemorySize, sharedPages } = serveOptions({ ...plain, ...values }, []);
  const { maxSessions, maxBuffers, maxDeviceBytes } = policyOf(values);
  const ownQueues = kind !== undefined && memToMem.has(kind);
  return { ownQueues, maxSessions, maxBuffers, maxDeviceBytes, sharedMemorySize, sharedPages };
}
