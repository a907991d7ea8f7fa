/** Log lines that tell the operator why a guest cannot have the node, and what to do. */
import { errnoName } from '../errno.js';
import { log } from '../log.js';
import type { NodeDescription } from './description.js';
import { type Holders, mappersText, openersText } from './holders.js';
import { waitsForProducer } from './kind.js';
import { capabilityWords } from './names.js';
import { cures, type OpenFailure, openFailureOf } from './open-failure.js';

/**
 * Milliseconds between two lines that say the same, because a guest may try as often as it likes, and between two
 * searches of the host's processes for those that have the node open.
 */
const INTERVAL_MS = 5000;

/** What the operator can do if a guest cannot open the node. If its device is gone, the reason says that. */
const openCures: Partial<Record<OpenFailure, string>> = {
  ...cures,
  'not permitted':
    'this user needs read and write permission on it again (chgrp video, chmod 0660; a udev rule makes it last)',
};

/** The node, as its reports need it. */
export interface ReportedNode {
  readonly path: string;
  /** Which other processes of the host have the node open. Rejects if the node is gone. */
  holders(): Promise<Holders>;
}

/** The reports about one node. */
export class NodeReports {
  #holdersDue = 0;
  /** The last line about a refusal, and when the same may be said again. */
  #refusal = { text: '', due: 0 };
  /** What the node lacked at the last OPEN, in words. Empty: nothing. */
  #lack = '';

  constructor(private readonly node: ReportedNode) {}

  /**
   * OPEN answers this errno of open(2) or of the search. `absence`: why there is no device. `known`: what the node was,
   * if that is known.
   */
  openFailed(errno: number, absence: string, known: NodeDescription | null): void {
    const failure = openFailureOf(errno);
    if (failure === 'busy') return this.#reportHolders(openersText);
    const cure = failure === 'gone' ? absence : (openCures[failure] ?? 'see dmesg');
    const text = `a guest cannot open the node (${errnoName(errno)}): ${cure}`;
    const now = performance.now();
    if (text === this.#refusal.text && now < this.#refusal.due) return;
    this.#refusal = { text, due: now + INTERVAL_MS };
    log.warn(text, { device: this.node.path, card: known?.card, busInfo: known?.busInfo });
  }

  /** An ioctl has failed with EBUSY, and not because of this process. */
  ioctlBusy(): void {
    this.#reportHolders(mappersText);
  }

  /** OPEN answers ENXIO because the node lacks what the guest was told (`lack`: in words). One line, until it lacks something else. */
  lack(lack: string, now: NodeDescription, isVirtual: boolean): void {
    if (lack === this.#lack) return;
    this.#lack = lack;
    const cure = waitsForProducer('video', now.deviceCaps, isVirtual)
      ? 'it waits for a producer'
      : 'reset the guest, or load its driver anew, and it gets the node as it is now';
    log.warn(`a guest cannot open the node (ENXIO): it lacks ${lack}, which the guest was told: ${cure}`, {
      device: this.node.path,
      card: now.card,
      now: capabilityWords(now.deviceCaps).join(' '),
    });
  }

  /** The node lacks nothing: the next lack is news. */
  fits(): void {
    this.#lack = '';
  }

  /** The operator's name leads to another device than before. */
  replaced({ card }: NodeDescription): void {
    log.info('the name leads to another device', { device: this.node.path, card });
  }

  /** Logs the sentence, at most once in five seconds. null: nothing is known, so nothing is logged. */
  #reportHolders(sentence: (found: Holders) => string | null): void {
    const now = performance.now();
    if (now < this.#holdersDue) return;
    this.#holdersDue = now + INTERVAL_MS;
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
