/** Whether a node can be served, and what a guest gets of it. */
import type { QueueDescription } from '../v4l2/enumeration.js';
import { type Holders, holdersText } from '../v4l2/holders.js';
import type { Survey } from '../v4l2/survey.js';
import { type Finding, failure, ok, warning } from './finding.js';

const DEVICE = 'docs/reliability.md#which-device-is-served';
const PROTOCOL = 'docs/protocol.md';
const UNPLUGGED = 'docs/reliability.md#unplugged-plugged-in-again-busy-forbidden';
const ERRORS = 'docs/errors.md#the-operator-codes';

/** `holders`: who else has it open. `isAsked`: the operator has named the node, so one that cannot be served is a failure. */
export function deviceFindings(survey: Survey, holders: Holders, isAsked: boolean): Finding[] {
  const { node, kind, serveable, reason, cautions } = survey;
  const what = node.path;
  if (!serveable) {
    const { found, cure } = parted(reason!, 'name another node (virtio-media-bridge list)');
    return [(isAsked ? failure : warning)(what, found, cure, ERRORS)];
  }
  return [
    ok(what, `${kind}, ${survey.identity?.card || node.title} (${node.driver || 'no driver named'})`),
    ...cautions.map((caution) => {
      const { found, cure } = parted(caution, 'nothing on the host changes that');
      return warning(what, found, cure, PROTOCOL);
    }),
    ...survey.queues.map((queue) => buffersFinding(what, queue)),
    ...holderFindings(what, holders),
    nameFinding(survey),
  ];
}

/** A reason or caution of a survey says what helps behind a colon, if anything does. */
function parted(sentence: string, otherwise: string): { found: string; cure: string } {
  const [found, ...cures] = sentence.split(': ');
  return { found: found!, cure: cures.join(': ') || otherwise };
}

/** How the frames of a queue reach the guest (docs/architecture.md, "Memory"). */
function buffersFinding(what: string, { name, memory, exportable }: QueueDescription): Finding {
  const offers = memory ?? [];
  if (offers.includes('USERPTR')) return ok(what, `${name}: frames need no copy, with every VMM`);
  if (exportable) return ok(what, `${name}: frames need no copy with crosvm and libkrun, one with QEMU`);
  if (offers.length === 0) return ok(what, `${name}: no buffers of its own`);
  return ok(what, `${name}: frames are copied once`);
}

/** A program that has the node open need not stream from it. */
function holderFindings(what: string, found: Holders): Finding[] {
  if (found.holders.length === 0) return [];
  const cure = 'one program can stream at a time: end that one if a guest gets EBUSY';
  return [warning(what, `open in ${holdersText(found)}`, cure, UNPLUGGED)];
}

/** A number may mean another device after the next boot. */
function nameFinding({ node }: Survey): Finding {
  const [link] = node.links;
  if (link !== undefined) return ok(node.path, `${link} stays when nodes get other numbers`);
  return warning(
    node.path,
    'has no link in /dev/v4l that stays when nodes get other numbers',
    'give it a name of your own by a udev rule if the host has more than one device',
    DEVICE,
  );
}

/** The path is no node of this host. */
export const missingFinding = (path: string, isThere: boolean): Finding =>
  failure(
    path,
    isThere ? 'is no V4L2 node' : 'does not exist',
    'virtio-media-bridge list shows the nodes; dmesg says whether a device was found',
    ERRORS,
  );

/** What helps against a host without nodes. */
export const NO_NODE_CURE =
  'plug in a camera, or load a driver that makes one (modprobe vivid is the kernel’s own test camera)';

/** The host has no node. */
export const noneFinding: Finding = failure(
  'devices',
  'this host has no V4L2 node',
  NO_NODE_CURE,
  'README.md#without-a-vm',
);
