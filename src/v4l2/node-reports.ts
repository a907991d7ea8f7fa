/** Log lines that tell the operator why a guest cannot have the node, and what to do. */
import { errnoName } from '../errno.js';
import { log, warnLimited } from '../log.js';
import type { NodeDescription } from './description.js';
import { type Holders, holdersText, mappersOf } from './holders.js';
import { type OpenFailure, openFailureOf } from './open-failure.js';

/** Milliseconds between two searches of the host's processes for those that have the node open. */
const HOLDERS_INTERVAL_MS = 5000;

/** The node, as its reports need it. */
export interface ReportedNode {
  readonly path: string;
  /** Which other processes of the host have the node open. Rejects if the node is gone. */
  holders(): Promise<Holders>;
}

/** The reports about one node. */
export class NodeReports {
  #holdersDue = 0;

  constructor(private readonly node: ReportedNode) {}

  /** open(2) has failed. `description`: null if the node is not described. */
  openFailed(errno: number, description: NodeDescription | null): void {
    const failure = openFailureOf(errno);
    if (failure === 'busy') return this.#reportHolders(openersOf);
    const { path } = this.node;
    const cure = openCures[failure] ?? 'see dmesg';
    warnLimited(`open ${path}`, `a guest cannot open the node (${errnoName(errno)}): ${cure}`, {
      device: path,
      card: description?.card,
      busInfo: description?.busInfo,
    });
  }

  /** An ioctl has failed with EBUSY. */
  ioctlBusy(): void {
    this.#reportHolders(streamersOf);
  }

  /** Logs the sentence, at most once in five seconds. null: nothing is known, so nothing is logged. */
  #reportHolders(sentence: (found: Holders) => string | null): void {
    const now = performance.now();
    if (now < this.#holdersDue) return;
    this.#holdersDue = now + HOLDERS_INTERVAL_MS;
    const device = this.node.path;
    this.node.holders().then(
      (found) => {
        const said = sentence(found);
        if (said !== null) log.warn(`the guest was told EBUSY: ${said}`, { device });
      },
      (error) => log.debug('the holders of the node cannot be read', { device, error: String(error) }),
    );
  }
}

/**
 * EBUSY of open(2): the driver takes no more files, so a process that has one is the reason. null: it may be the
 * guest.
 */
function openersOf(found: Holders): string | null {
  if (found.own) return null;
  if (found.holders.length > 0) return `${holdersText(found)} has the node`;
  return found.hidden
    ? 'who has the node cannot be seen by this user (run as root to see)'
    : 'no other program is seen to have the node: see dmesg';
}

/**
 * EBUSY of an ioctl: a process with the node open is not the reason, a process with its buffers is. null: none is
 * seen.
 */
function streamersOf(found: Holders): string | null {
  const mappers = mappersOf(found);
  return mappers.holders.length > 0 ? `${holdersText(mappers)} has buffers of the node mapped` : null;
}

/** What the operator can do if a guest cannot open the node. */
const openCures: Partial<Record<OpenFailure, string>> = {
  'not permitted':
    'this user needs read and write permission on it again (chgrp video, chmod 0660; a udev rule makes it last)',
  forbidden: 'the container or unit must allow char-video4linux devices',
  'process full': 'this process has as many descriptors as it may: raise LimitNOFILE',
  'host full': 'the host has as many open files as it may: raise fs.file-max',
  gone: 'its device is unplugged, or another one has its place: plug the same one in again, into the same port',
};
