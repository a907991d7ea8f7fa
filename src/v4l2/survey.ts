/** All facts about a host node, and whether the bridge can give it to a guest. */

import pTimeout from 'p-timeout';
import { errnoName } from '../errno.js';
import { isFailure } from '../result.js';
import { type NodeCapabilities, queryCap } from './capabilities.js';
import { type Control, controlsOf, type ReadPayload } from './controls.js';
import type { HostNodeEntry } from './discovery.js';
import { type QueueDescription, queuesOf, type RunIoctl } from './enumeration.js';
import { type Holders, holdersText, mappersOf } from './holders.js';
import { cautionsOf, type Kind, kindOf, refusalOf, WAITS_FOR_PRODUCER, waitsForProducer } from './kind.js';
import { type OpenFailure, openFailureOf } from './open-failure.js';

/** Milliseconds. A camera that works answers a control transfer within 5 s; this is usbcore's own limit. */
const CALL_TIMEOUT_MS = 6000;
/** Milliseconds for all slow answers together. A camera may fail each of a hundred requests after 5 s. */
const SURVEY_TIMEOUT_MS = 15_000;
/** An answer in less than this part of its own limit (20 ms of 6 s) is not slow: a busy machine may give thousands. */
const QUICK_PART = 1 / 300;
/** Quick answers too have an end, at so many times the limit of the slow ones. */
const QUICK_FACTOR = 4;

/** The facts about one node. `controls` is empty for the depth `summary`. */
export interface Survey {
  readonly node: HostNodeEntry;
  readonly kind: Kind;
  /** undefined: the node could not be opened or queried. */
  readonly identity?: NodeCapabilities;
  readonly queues: readonly QueueDescription[];
  readonly controls: readonly Control[];
  readonly serveable: boolean;
  /** Why not, in a sentence without a full stop. null: it can be served. */
  readonly reason: string | null;
  readonly cautions: readonly string[];
}

/** `summary`: capabilities, formats and memory types. `full`: sizes, intervals and controls too. */
export type Depth = 'summary' | 'full';

/** A node that is opened for queries. probe-file.ts makes one from a path. The first three resolve to an errno. */
export interface ProbeFile {
  open(): Promise<number>;
  ioctl(nr: number, payload: Uint8Array): Promise<number>;
  readonly readPayload: ReadPayload;
  /** Other processes that have it open. */
  holders(): Promise<Holders>;
  close(): void;
}

type Findings = { -readonly [K in 'identity' | 'queues' | 'controls']?: Survey[K] } & {
  /** Set if another program streams from the node: a sentence that says so. */
  busy?: string;
};

/** The node took too long; `message` says for what. What it answered so far is valid. */
class Silent extends Error {}

/** The result of a call. Rejects with Silent if the node takes too long. */
type InTime = (call: Promise<number>) => Promise<number>;

/**
 * Queries the node. A failure of the node becomes `reason`; it is never thrown. No answer takes longer than
 * `timeoutMs`. All slow answers together take no longer than `surveyMs`, and all answers four times that.
 */
export async function surveyNode(
  node: HostNodeEntry,
  depth: Depth,
  file: ProbeFile,
  timeoutMs = CALL_TIMEOUT_MS,
  surveyMs = SURVEY_TIMEOUT_MS,
): Promise<Survey> {
  if (node.class === 'v4l-subdev') return conclude(node, {}, undefined);
  const findings: Findings = {};
  try {
    const problem = await ask(file, depth, findings, within(timeoutMs, surveyMs));
    return conclude(node, findings, problem);
  } catch (error) {
    if (!(error instanceof Silent)) throw error;
    return conclude(node, findings, `it did not answer ${error.message}: unplug it, or see dmesg`);
  } finally {
    file.close();
  }
}

async function ask(
  file: ProbeFile,
  depth: Depth,
  findings: Findings,
  inTime: InTime,
): Promise<string | undefined> {
  const opened = await inTime(file.open());
  if (openFailureOf(opened) === 'busy')
    return `its driver allows one program at a time: ${holdersText(await holdersOf(file))} has it open`;
  if (opened !== 0) return openProblem(opened);
  const call: RunIoctl = (nr, payload) => inTime(file.ioctl(nr, payload));
  const identity = await queryCap(call);
  if (isFailure(identity)) return openProblem(identity.errno);
  findings.identity = identity;
  findings.queues = await queuesOf(call, identity.deviceCaps, depth === 'full');
  if (findings.queues.some(({ memory }) => memory === null)) findings.busy = inUse(await holdersOf(file));
  if (depth === 'summary') return undefined;
  const controls: Control[] = [];
  findings.controls = controls;
  await controlsOf(call, (id, payload) => inTime(file.readPayload(id, payload)), controls);
  return undefined;
}

/** If /proc says nothing, another process has the node all the same. */
export const holdersOf = (file: ProbeFile): Promise<Holders> =>
  file.holders().catch(() => ({ holders: [], hidden: false, own: false }));

/** A queue has one owner. A process that has the node open need not be the owner. */
function inUse(found: Holders): string {
  const mappers = mappersOf(found);
  if (mappers.holders.length > 0) return `it is in use: ${holdersText(mappers)} has it, end that one first`;
  if (found.holders.length === 0) return `it is in use: ${holdersText(found)} has it, end that one first`;
  return `it is in use by another program; those that have it open: ${holdersText(found)}`;
}

function conclude(node: HostNodeEntry, findings: Findings, problem: string | undefined): Survey {
  const { identity, queues = [], controls = [] } = findings;
  const caps = identity?.deviceCaps ?? 0;
  const kind = kindOf(node.class, caps, queues);
  const reason = problem ?? refusalOf(node.class, caps) ?? findings.busy ?? null;
  return {
    node,
    kind,
    ...(identity === undefined ? {} : { identity }),
    queues,
    controls,
    serveable: reason === null,
    reason,
    cautions: reason === null ? [...waitingOf(node, caps), ...cautionsOf(caps, kind)] : [],
  };
}

const waitingOf = (node: HostNodeEntry, caps: number): string[] =>
  waitsForProducer(node.class, caps, node.device === '') ? [WAITS_FOR_PRODUCER] : [];

const openProblems: Partial<Record<OpenFailure, string>> = {
  'not permitted':
    'no permission to open it: join its group (usermod -aG video USER, then log in again) or run as root',
  forbidden: 'the device policy of this container or unit forbids it: allow char-video4linux',
  absent: 'the kernel has it, but there is no such file in /dev: pass the node into this container',
  gone: 'it has been unplugged, or its driver gave up: see dmesg',
  'no node': 'it is no V4L2 node',
};

const openProblem = (errno: number): string =>
  openProblems[openFailureOf(errno)] ?? `it cannot be opened: ${errnoName(errno)}`;

/** Each answer has `timeoutMs` milliseconds, all slow ones together have `surveyMs`, and all have a multiple of it. */
function within(timeoutMs: number, surveyMs: number): InTime {
  const end = performance.now() + QUICK_FACTOR * surveyMs;
  let slow = 0;
  return async (call) => {
    const from = performance.now();
    const left = Math.max(1, Math.min(surveyMs - slow, end - from));
    const isLast = left < timeoutMs;
    const what = isLast ? `everything within ${surveyMs / 1000} s` : `within ${timeoutMs / 1000} s`;
    const errno = await answered(call, isLast ? left : timeoutMs, what);
    const took = performance.now() - from;
    if (took > QUICK_PART * timeoutMs) slow += took;
    return errno;
  };
}

/** The answer. Rejects with Silent after `milliseconds`. The call itself goes on until the process ends. */
function answered(call: Promise<number>, milliseconds: number, what: string): Promise<number> {
  return pTimeout(call, { milliseconds, message: new Silent(what) });
}
